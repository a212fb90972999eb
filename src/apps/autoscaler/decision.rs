//! How many instances an app should have: a pure function of its load.

use super::config::ScalingConfig;

/// A running instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Id of the session.
    pub id: String,
    /// Load as a fraction of the target.
    pub pressure: f64,
    /// Requests are in flight.
    pub busy: bool,
}

/// All instances of an app. Those that are being drained are not in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fleet {
    pub running: Vec<Instance>,
    pub starting: usize,
}

/// When the number was changed last, in seconds of the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LastSteps {
    pub up: Option<f64>,
    /// The last change in any direction, at first the start of the watch: nothing is taken away
    /// before its load could show.
    pub any: f64,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Hold,
    Start(usize),
    /// Take this session out of selection, wait for its work, stop it.
    Drain(String),
}

/// What to do, and why, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub action: Action,
    pub reason: String,
}

fn hold(reason: impl Into<String>) -> Decision {
    Decision {
        action: Action::Hold,
        reason: reason.into(),
    }
}

/// Decides the next step. The minimum and the maximum are enforced at once; the load moves the
/// number between them, upwards at most to the double, downwards one by one, each with its cooldown.
pub fn decide(config: &ScalingConfig, fleet: &Fleet, last: &LastSteps, now: f64) -> Decision {
    let total = fleet.running.len() + fleet.starting;
    if total == 0 {
        return hold("nothing runs");
    }
    if total < config.min_instances {
        return Decision {
            action: Action::Start(config.min_instances - total),
            reason: format!(
                "{total} instances, below the minimum {}",
                config.min_instances
            ),
        };
    }
    let sum: f64 = fleet.running.iter().map(|instance| instance.pressure).sum();
    if total > config.max_instances {
        return drain(fleet, format!("above the maximum {}", config.max_instances));
    }
    let average = sum / total as f64;
    if average > config.scale_up_threshold && total < config.max_instances {
        return up(config, total, sum, last, now);
    }
    if average < config.scale_down_threshold && total > config.min_instances {
        return down(config, fleet, sum, last, now);
    }
    hold(format!("load {average:.2} is within bounds"))
}

fn up(config: &ScalingConfig, total: usize, sum: f64, last: &LastSteps, now: f64) -> Decision {
    let load = sum / total as f64;
    if let Some(at) = last.up
        && now - at < config.scale_up_cooldown
    {
        return hold(format!(
            "load {load:.2} is high, but the last step up is too recent"
        ));
    }
    let enough = (sum / config.scale_up_threshold).ceil();
    // A load that cannot be counted is as good as none.
    let enough = if enough.is_finite() {
        enough as usize
    } else {
        total
    };
    let wanted = enough.clamp(total + 1, total * 2).min(config.max_instances);
    Decision {
        action: Action::Start(wanted - total),
        reason: format!("load {load:.2} is above {}", config.scale_up_threshold),
    }
}

fn down(config: &ScalingConfig, fleet: &Fleet, sum: f64, last: &LastSteps, now: f64) -> Decision {
    let total = fleet.running.len() + fleet.starting;
    let load = sum / total as f64;
    if now - last.any < config.scale_down_cooldown {
        return hold(format!(
            "load {load:.2} is low, but the last step is too recent"
        ));
    }
    if fleet.starting > 0 {
        return hold("an instance is starting");
    }
    if total == 1 {
        // To zero only from rest: a request in flight has nowhere else to go.
        let rests = fleet
            .running
            .iter()
            .all(|one| one.pressure == 0.0 && !one.busy);
        if !rests {
            return hold("the last instance is in use");
        }
    } else if sum / (total - 1) as f64 > config.scale_up_threshold {
        return hold(format!(
            "load {load:.2} is low, but would be too high for one less"
        ));
    }
    drain(
        fleet,
        format!("load {load:.2} is below {}", config.scale_down_threshold),
    )
}

/// Takes away the instance with the least to do.
fn drain(fleet: &Fleet, reason: String) -> Decision {
    let least = fleet
        .running
        .iter()
        .min_by(|a, b| a.busy.cmp(&b.busy).then(a.pressure.total_cmp(&b.pressure)));
    match least {
        Some(instance) => Decision {
            action: Action::Drain(instance.id.clone()),
            reason,
        },
        None => hold("all instances are starting"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config() -> ScalingConfig {
        ScalingConfig {
            enabled: true,
            scale_up_cooldown: 10.0,
            scale_down_cooldown: 20.0,
            max_instances: 4,
            ..ScalingConfig::default()
        }
    }

    fn fleet(pressures: &[f64], starting: usize) -> Fleet {
        let running = pressures
            .iter()
            .enumerate()
            .map(|(at, pressure)| Instance {
                id: format!("s{at}"),
                pressure: *pressure,
                busy: false,
            })
            .collect();
        Fleet { running, starting }
    }

    const LONG_AGO: LastSteps = LastSteps {
        up: None,
        any: -1000.0,
    };

    #[test]
    fn table() {
        let drained = |id: &str| Action::Drain(id.into());
        for (name, pressures, starting, min, expected) in [
            ("nothing", &[][..], 0, 2, Action::Hold),
            ("below the minimum", &[0.0], 0, 3, Action::Start(2)),
            ("the minimum starts", &[0.0], 2, 3, Action::Hold),
            ("high", &[1.0], 0, 1, Action::Start(1)),
            ("very high doubles", &[9.0, 9.0], 0, 1, Action::Start(2)),
            ("high at the maximum", &[9.0; 4], 0, 1, Action::Hold),
            ("starting ones count", &[1.0], 1, 1, Action::Hold),
            ("low", &[0.2, 0.1], 0, 1, drained("s1")),
            ("low at the minimum", &[0.1], 0, 1, Action::Hold),
            ("asleep", &[0.0], 0, 0, drained("s0")),
            ("almost asleep", &[0.01], 0, 0, Action::Hold),
            (
                "above the maximum",
                &[0.5, 0.4, 0.5, 0.5, 0.5],
                0,
                1,
                drained("s1"),
            ),
            ("low while one starts", &[0.0, 0.0], 1, 1, Action::Hold),
        ] {
            let config = ScalingConfig {
                min_instances: min,
                ..config()
            };
            let decision = decide(&config, &fleet(pressures, starting), &LONG_AGO, 0.0);
            assert_eq!(decision.action, expected, "{name}: {}", decision.reason);
        }
    }

    #[test]
    fn cooldowns() {
        let last = LastSteps {
            up: Some(0.0),
            any: 0.0,
        };
        let action =
            |pressures: &[f64], now| decide(&config(), &fleet(pressures, 0), &last, now).action;
        assert_eq!(action(&[2.0], 9.9), Action::Hold);
        assert_eq!(action(&[2.0], 10.0), Action::Start(1));
        assert_eq!(action(&[0.0, 0.0], 19.9), Action::Hold);
        assert_eq!(action(&[0.0, 0.0], 20.0), Action::Drain("s0".into()));
    }

    #[test]
    fn the_idle_go_before_the_busy() {
        let mut fleet = fleet(&[0.0, 0.1], 0);
        fleet.running[0].busy = true;
        let decision = decide(&config(), &fleet, &LONG_AGO, 0.0);
        assert_eq!(decision.action, Action::Drain("s1".into()));
    }

    #[test]
    fn no_step_down_that_would_be_followed_by_one_up() {
        let config = ScalingConfig {
            scale_up_threshold: 0.5,
            scale_down_threshold: 0.45,
            ..config()
        };
        let decision = decide(&config, &fleet(&[0.4, 0.4], 0), &LONG_AGO, 0.0);
        assert_eq!(decision.action, Action::Hold);
    }

    proptest! {
        #[test]
        fn never_leaves_the_bounds(
            pressures in prop::collection::vec(prop_oneof![0.0..5.0f64, Just(f64::INFINITY)], 0..8),
            starting in 0usize..4,
            min in 0usize..4,
            span in 1usize..5,
            since in 0.0..100.0f64,
        ) {
            let config = ScalingConfig { min_instances: min, max_instances: min + span, ..config() };
            let fleet = fleet(&pressures, starting);
            let total = pressures.len() + starting;
            let last = LastSteps { up: Some(-since), any: -since };
            match decide(&config, &fleet, &last, 0.0).action {
                Action::Start(more) => {
                    prop_assert!(more > 0 && total > 0);
                    prop_assert!(total + more <= config.max_instances);
                }
                Action::Drain(id) => {
                    prop_assert!(total > config.min_instances);
                    prop_assert!(fleet.running.iter().any(|one| one.id == id));
                }
                Action::Hold => {
                    prop_assert!(total == 0 || total >= config.min_instances);
                }
            }
        }
    }
}
