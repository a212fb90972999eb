use futures::FutureExt;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

#[test]
fn modes_are_read_and_written_alike() {
    for text in [
        "exact",
        "random",
        "first",
        "last",
        "min_load",
        "native:random",
        "select:min:load",
        "select:max:f",
        "select:first_success:ping",
    ] {
        assert_eq!(text.parse::<SelectionMode>().unwrap().to_string(), text);
    }
}

#[test]
fn wrong_modes_say_how() {
    let table = [
        ("best", "Invalid mode: best. Mode must be "),
        ("", "Invalid mode: . Mode must be "),
        (
            "select:min",
            "Invalid select mode format: select:min. Expected 'select:criteria:function'",
        ),
        (
            "select:min:",
            "Invalid select mode format: select:min:. Expected",
        ),
        (
            "select:min:a:b",
            "Invalid select mode format: select:min:a:b. Expected",
        ),
        ("select:mean:f", "Unknown selection criteria: mean"),
    ];
    for (text, expected) in table {
        let error = text.parse::<SelectionMode>().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn picks_by_mode() {
    let loads = [3.0, 1.0, 2.0];
    let pick = |mode: &str, count| {
        let mode: SelectionMode = mode.parse().unwrap();
        mode.pick(count, |index| loads[index], &mut rng())
    };
    for mode in ["exact", "random", "select:min:f", "min_load"] {
        assert_eq!(pick(mode, 0), Pick::Nothing);
        assert_eq!(pick(mode, 1), Pick::Index(0));
    }
    assert_eq!(pick("exact", 2), Pick::Ambiguous);
    assert_eq!(pick("first", 3), Pick::Index(0));
    assert_eq!(pick("last", 3), Pick::Index(2));
    assert_eq!(pick("min_load", 3), Pick::Index(1));
    assert!(matches!(pick("random", 3), Pick::Index(0..3)));
    let ask = Pick::Ask {
        criterion: Criterion::Max,
        function: "f".to_owned(),
    };
    assert_eq!(pick("select:max:f", 3), ask);
}

#[test]
fn equal_loads_are_spread() {
    let mut rng = rng();
    let mut seen = [0; 3];
    for _ in 0..300 {
        let Pick::Index(index) = SelectionMode::MinLoad.pick(3, |_| 0.0, &mut rng) else {
            panic!("no pick")
        };
        seen[index] += 1;
    }
    assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
    let odd = SelectionMode::MinLoad.pick(2, |_| f64::NAN, &mut rng);
    assert!(matches!(odd, Pick::Index(0..2)));
}

#[test]
fn answers_are_compared() {
    let answers = [None, Some(5.0), Some(1.0), Some(5.0), Some(f64::NAN)];
    let settle = |criterion| settle(criterion, &answers, &mut rng());
    assert_eq!(settle(Criterion::Min), Some(2));
    assert_eq!(settle(Criterion::Max), Some(1));
    assert_eq!(settle(Criterion::FirstSuccess), Some(1));
    let silent = super::settle(Criterion::Min, &[None, None], &mut rng());
    assert!(matches!(silent, Some(0..2)));
    assert_eq!(super::settle(Criterion::Max, &[], &mut rng()), None);
}

#[tokio::test]
async fn all_are_asked_and_the_first_success_waits_for_nobody() {
    let answers = |values: &[Option<f64>]| -> Vec<_> {
        values
            .iter()
            .map(|value| std::future::ready(*value))
            .collect()
    };
    let asked = answers(&[None, Some(3.0), Some(1.0)]);
    assert_eq!(
        ask(Criterion::Min, asked).await,
        [None, Some(3.0), Some(1.0)]
    );
    let silent = std::future::pending().boxed();
    let quick = std::future::ready(Some(2.0)).boxed();
    let calls = vec![silent, quick];
    assert_eq!(ask(Criterion::FirstSuccess, calls).await, [None, Some(2.0)]);
}
