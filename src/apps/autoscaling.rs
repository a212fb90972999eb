//! The autoscaling settings of an app (server-apps.md 6).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::peer::ServiceError;

/// Settings with their defaults. Unknown fields are dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoscalingConfig {
    pub enabled: bool,
    pub min_instances: u32,
    pub max_instances: u32,
    /// Fraction of what an instance can do.
    pub target_load_per_instance: f64,
    /// Per minute.
    pub target_requests_per_instance: u32,
    /// Fraction of the target above which an instance is added.
    pub scale_up_threshold: f64,
    /// Fraction of the target below which one is removed.
    pub scale_down_threshold: f64,
    /// Seconds.
    pub scale_up_cooldown: f64,
    /// Seconds.
    pub scale_down_cooldown: f64,
    /// `load` or `custom`.
    pub metric_type: String,
    pub custom_metric_function: Option<String>,
}

impl Default for AutoscalingConfig {
    fn default() -> Self {
        AutoscalingConfig {
            enabled: false,
            min_instances: 1,
            max_instances: 10,
            target_load_per_instance: 0.8,
            target_requests_per_instance: 100,
            scale_up_threshold: 0.9,
            scale_down_threshold: 0.3,
            scale_up_cooldown: 300.0,
            scale_down_cooldown: 600.0,
            metric_type: "load".into(),
            custom_metric_function: None,
        }
    }
}

impl AutoscalingConfig {
    /// Reads settings that somebody gave, and fills in the rest.
    ///
    /// # Errors
    /// ValueError for a wrong type, or numbers that contradict each other.
    pub fn read(fields: &Map<String, Json>) -> Result<Self, ServiceError> {
        let given: Map<String, Json> = fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let refuse =
            |why: String| ServiceError::value(format!("Invalid autoscaling config: {why}"));
        let config: AutoscalingConfig =
            serde_json::from_value(given.into()).map_err(|error| refuse(error.to_string()))?;
        if config.max_instances < 1 || config.max_instances < config.min_instances {
            return Err(refuse(
                "max_instances must be at least 1 and not below min_instances".into(),
            ));
        }
        if config.scale_down_threshold > config.scale_up_threshold {
            return Err(refuse(
                "scale_down_threshold must not be above scale_up_threshold".into(),
            ));
        }
        Ok(config)
    }

    /// The form stored in the manifest, whole seconds as integers.
    pub fn to_json(&self) -> Json {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        for field in ["scale_up_cooldown", "scale_down_cooldown"] {
            if let Some(seconds) = json[field].as_f64().filter(|s| s.fract() == 0.0) {
                json[field] = (seconds as i64).into();
            }
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: Json) -> Result<AutoscalingConfig, ServiceError> {
        AutoscalingConfig::read(json.as_object().unwrap())
    }

    #[test]
    fn what_is_not_said_is_filled_in() {
        let config =
            read(json!({ "enabled": true, "max_instances": 3, "metric_type": null })).unwrap();
        let stored = config.to_json();
        assert_eq!(stored["max_instances"], 3);
        assert_eq!(stored["scale_up_cooldown"], 300);
        assert_eq!(stored["metric_type"], "load");
        assert_eq!(stored.as_object().unwrap().len(), 11);
    }

    #[test]
    fn contradictions_are_refused() {
        for wrong in [
            json!({ "max_instances": 0 }),
            json!({ "min_instances": 4, "max_instances": 2 }),
            json!({ "min_instances": -1 }),
            json!({ "enabled": "yes" }),
            json!({ "scale_down_threshold": 0.95 }),
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(
                error.starts_with("ValueError: Invalid autoscaling config"),
                "{error}"
            );
        }
    }
}
