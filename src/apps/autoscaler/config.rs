//! The `autoscaling` field of a manifest.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use thiserror::Error;

use crate::apps::manifest::Manifest;

/// What the load of an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Requests per minute, against `target_requests_per_instance`.
    Load,
    /// What a function of the app's `default` service returns, against `target_load_per_instance`.
    Custom,
}

/// See the module's text. Times in seconds, thresholds as fractions of the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScalingConfig {
    pub enabled: bool,
    /// 0 lets the app go to sleep; the next lookup wakes it.
    pub min_instances: usize,
    pub max_instances: usize,
    pub target_requests_per_instance: f64,
    /// Requests in flight that one instance should have at most; none: they are not counted.
    pub target_concurrency_per_instance: Option<f64>,
    pub target_load_per_instance: f64,
    pub scale_up_threshold: f64,
    pub scale_down_threshold: f64,
    pub scale_up_cooldown: f64,
    pub scale_down_cooldown: f64,
    pub metric_type: Metric,
    pub custom_metric_function: Option<String>,
}

impl Default for ScalingConfig {
    fn default() -> Self {
        ScalingConfig {
            enabled: false,
            min_instances: 1,
            max_instances: 10,
            target_requests_per_instance: 100.0,
            target_concurrency_per_instance: None,
            target_load_per_instance: 0.8,
            scale_up_threshold: 0.9,
            scale_down_threshold: 0.3,
            scale_up_cooldown: 300.0,
            scale_down_cooldown: 600.0,
            metric_type: Metric::Load,
            custom_metric_function: None,
        }
    }
}

/// What is wrong with an `autoscaling` field.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScalingError {
    #[error("autoscaling: {0}")]
    Shape(String),
    #[error("autoscaling: max_instances must be at least 1 and not below min_instances")]
    Bounds,
    #[error("autoscaling: {0} must be greater than 0")]
    NotPositive(&'static str),
    #[error("autoscaling: scale_down_threshold must be below scale_up_threshold")]
    Thresholds,
    #[error("autoscaling: metric_type custom needs a custom_metric_function")]
    NoFunction,
}

impl ScalingConfig {
    /// The configuration of an app; None when it is not to be scaled.
    ///
    /// # Errors
    /// See [`ScalingError`].
    pub fn of(manifest: &Manifest) -> Result<Option<Self>, ScalingError> {
        let Some(field) = manifest.get("autoscaling").filter(|field| !field.is_null()) else {
            return Ok(None);
        };
        let config: ScalingConfig = serde_json::from_value(field.clone())
            .map_err(|error| ScalingError::Shape(error.to_string()))?;
        if !config.enabled {
            return Ok(None);
        }
        config.check()?;
        Ok(Some(config))
    }

    /// The form in which settings are stored: everything said, and checked even while they are not
    /// enabled. Nulls count as not said.
    ///
    /// # Errors
    /// See [`ScalingError`].
    pub fn filled(fields: &Map<String, Json>) -> Result<Json, ScalingError> {
        let said: Map<String, Json> = fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let shape = |error: serde_json::Error| ScalingError::Shape(error.to_string());
        let config: ScalingConfig = serde_json::from_value(said.into()).map_err(shape)?;
        config.check()?;
        let mut filled = serde_json::to_value(&config).map_err(shape)?;
        // Whole numbers are written as they were most likely given.
        for value in filled.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let number = value
                .as_f64()
                .filter(|number| value.is_f64() && number.fract() == 0.0);
            if let Some(whole) = number {
                *value = (whole as i64).into();
            }
        }
        Ok(filled)
    }

    fn check(&self) -> Result<(), ScalingError> {
        if self.max_instances < self.min_instances.max(1) {
            return Err(ScalingError::Bounds);
        }
        let positive = [
            (
                "target_requests_per_instance",
                self.target_requests_per_instance,
            ),
            ("target_load_per_instance", self.target_load_per_instance),
            ("scale_up_threshold", self.scale_up_threshold),
            (
                "target_concurrency_per_instance",
                self.target_concurrency_per_instance.unwrap_or(1.0),
            ),
        ];
        for (name, value) in positive {
            if !value.is_finite() || value <= 0.0 {
                return Err(ScalingError::NotPositive(name));
            }
        }
        if self.scale_down_threshold >= self.scale_up_threshold {
            return Err(ScalingError::Thresholds);
        }
        if self.metric_type == Metric::Custom && self.custom_metric_function.is_none() {
            return Err(ScalingError::NoFunction);
        }
        Ok(())
    }

    /// The load of an instance as a fraction of its target.
    pub fn pressure(&self, per_minute: f64, in_flight: f64) -> f64 {
        let rate = per_minute / self.target_requests_per_instance;
        match self.target_concurrency_per_instance {
            Some(target) => rate.max(in_flight / target),
            None => rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(field: serde_json::Value) -> Result<Option<ScalingConfig>, ScalingError> {
        let config: ScalingConfig = serde_json::from_value(field).unwrap();
        config.check().map(|()| config.enabled.then_some(config))
    }

    #[test]
    fn defaults_and_bounds() {
        let config = read(json!({ "enabled": true })).unwrap().unwrap();
        assert_eq!((config.min_instances, config.max_instances), (1, 10));
        assert_eq!(read(json!({ "enabled": false })).unwrap(), None);
        for (bad, error) in [
            (json!({ "max_instances": 0 }), ScalingError::Bounds),
            (
                json!({ "min_instances": 5, "max_instances": 2 }),
                ScalingError::Bounds,
            ),
            (
                json!({ "target_requests_per_instance": 0 }),
                ScalingError::NotPositive("target_requests_per_instance"),
            ),
            (
                json!({ "scale_up_threshold": 0.1 }),
                ScalingError::Thresholds,
            ),
            (json!({ "metric_type": "custom" }), ScalingError::NoFunction),
        ] {
            assert_eq!(read(bad).unwrap_err(), error);
        }
    }

    #[test]
    fn settings_are_stored_with_what_was_not_said() {
        let given = json!({ "enabled": true, "max_instances": 3, "metric_type": null });
        let filled = ScalingConfig::filled(given.as_object().unwrap()).unwrap();
        assert_eq!(filled["max_instances"], json!(3));
        assert_eq!(filled["scale_up_cooldown"], json!(300));
        assert_eq!(filled["scale_up_threshold"], json!(0.9));
        assert_eq!(filled["metric_type"], json!("load"));
        let wrong = json!({ "min_instances": -1 });
        let error = ScalingConfig::filled(wrong.as_object().unwrap()).unwrap_err();
        assert!(matches!(error, ScalingError::Shape(_)));
    }

    #[test]
    fn pressure_is_the_worse_of_rate_and_concurrency() {
        let mut config = ScalingConfig::default();
        assert_eq!(config.pressure(50.0, 9.0), 0.5);
        config.target_concurrency_per_instance = Some(4.0);
        assert_eq!(config.pressure(50.0, 9.0), 2.25);
    }
}
