use super::*;
use crate::apps::history::{LogLine, SessionHistory};
use crate::store::testing::TempDir;
use crate::supervision::ManualClock;

fn record(app: &str, number: u32, state: SessionState) -> SessionRecord {
    let mut history = SessionHistory::default();
    history.record(SessionState::Selecting, f64::from(number), None);
    history.record(state, f64::from(number) + 0.5, Some("a cause"));
    history.keep_logs([LogLine {
        kind: "console".into(),
        content: format!("line {number}"),
    }]);
    SessionRecord {
        workspace: "ws".into(),
        client: format!("c{number}"),
        app: app.into(),
        version: "v0".into(),
        fields: serde_json::Map::new(),
        worker: Some("ws/w:x".into()),
        user: "ann".into(),
        history,
    }
}

fn open(dir: &TempDir) -> SessionJournal {
    let store = Store::open(dir.path()).unwrap();
    let clock = ManualClock::at(1_000_000.0).shared();
    SessionJournal::open(&store, &clock).unwrap()
}

#[tokio::test]
async fn ended_sessions_are_told_before_and_after_they_are_written() {
    let dir = TempDir::new();
    {
        let journal = open(&dir);
        let ended = record("calc", 1, SessionState::Stopped);
        journal.note(ended.clone());
        assert_eq!(journal.find("ws/c1").await.unwrap(), Some(ended.clone()));
        journal.flush().await.unwrap();
        assert_eq!(journal.find("ws/c1").await.unwrap(), Some(ended));
    }
    let journal = open(&dir);
    let found = journal.find("ws/c1").await.unwrap().unwrap();
    assert_eq!(found.history.last_logs[0].content, "line 1");
    assert_eq!(found.info().get_str("status"), Some("stopped"));
    assert_eq!(journal.find("ws/c2").await.unwrap(), None);
    assert!(journal.ended("w", None).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_ran_when_the_server_died_has_failed() {
    let dir = TempDir::new();
    {
        let journal = open(&dir);
        journal.note(record("calc", 1, SessionState::Running));
        journal.flush().await.unwrap();
        // It is alive: the table of living sessions answers for it.
        assert!(journal.ended("ws", None).await.unwrap().is_empty());
    }
    let journal = open(&dir);
    let found = journal.ended("ws", Some("calc")).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].state(), SessionState::Failed);
    let error = found[0].history.last_error.as_deref();
    assert_eq!(error, Some("the server ended unexpectedly"));
}

#[tokio::test]
async fn only_the_last_of_each_app_are_kept() {
    let dir = TempDir::new();
    let surplus = 5;
    {
        let journal = open(&dir);
        for number in 0..(PER_APP as u32 + surplus) {
            journal.note(record("calc", number, SessionState::Stopped));
            journal.flush().await.unwrap();
        }
        journal.note(record("other", 900, SessionState::Failed));
        let kept = journal.ended("ws", Some("calc")).await.unwrap();
        assert_eq!(kept.len(), PER_APP);
        assert_eq!(kept[0].client, format!("c{surplus}"));
    }
    let journal = open(&dir);
    assert_eq!(journal.ended("ws", None).await.unwrap().len(), PER_APP + 1);
    journal.forget_workspace("ws").await.unwrap();
    assert!(journal.ended("ws", None).await.unwrap().is_empty());
}

#[test]
fn the_oldest_go_when_there_are_too_many_in_all() {
    let mut index = Index::default();
    for number in 0..(IN_ALL as u32 + 3) {
        let record = record(
            &format!("app{}", number / 10),
            number,
            SessionState::Stopped,
        );
        index.add(&record);
        index.surplus(&app_prefix("ws", &record.app));
    }
    assert_eq!((index.keys.len(), index.by_id.len()), (IN_ALL, IN_ALL));
    assert!(!index.by_id.contains_key("ws/c2") && index.by_id.contains_key("ws/c3"));
}
