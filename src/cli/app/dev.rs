//! `rhizome app dev`: installs what is on disk, shows its logs, and again at each change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgMatches, Command};
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::{AppError, Session, install};
use crate::client::ClientError;
use crate::map;
use crate::wire::{Map, Value};

/// Editors write in several steps; changes within this time are one.
const SETTLE: Duration = Duration::from_millis(300);

pub(super) fn command() -> Command {
    install::source_args(
        Command::new("dev")
            .about("Installs an app, follows its logs, and reinstalls it when its files change"),
    )
}

/// Tells of changes below a path.
fn watch(path: &Path) -> Result<(notify::RecommendedWatcher, mpsc::Receiver<()>), AppError> {
    let (changed, changes) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let touches = event.is_ok_and(|event| {
            event.kind.is_modify() || event.kind.is_create() || event.kind.is_remove()
        });
        if touches {
            // One notice is enough, whatever else changed.
            let _ = changed.try_send(());
        }
    })
    .map_err(|error| AppError::Usage(error.to_string()))?;
    watcher
        .watch(path, RecursiveMode::Recursive)
        .map_err(|error| AppError::Usage(format!("{}: {error}", path.display())))?;
    Ok((watcher, changes))
}

impl Session<'_> {
    pub(super) async fn dev(&self, given: &ArgMatches) -> Result<(), AppError> {
        let path = given
            .get_one::<PathBuf>("path")
            .cloned()
            .ok_or_else(|| AppError::Usage("path is missing".into()))?;
        // Editors replace files, so the folder of a single file is watched.
        let watched = match path.is_dir() {
            true => path.clone(),
            false => match path.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
                _ => PathBuf::from("."),
            },
        };
        let (_watcher, mut changes) = watch(&watched)?;
        let mut app: Option<String> = None;
        loop {
            let session = match self.renew(given, &mut app).await {
                Ok(session) => Some(session),
                // What is wrong with the app is what the developer wants to read, and to mend.
                Err(AppError::Client(ClientError::Remote(reason))) => {
                    eprintln!("[error] {reason}");
                    None
                }
                Err(error) => return Err(error),
            };
            tokio::select! {
                ended = self.follow_some(session.as_deref()) => {
                    ended?;
                    if changes.recv().await.is_none() {
                        return Ok(());
                    }
                }
                change = changes.recv() => if change.is_none() {
                    return Ok(());
                },
            }
            tokio::time::sleep(SETTLE).await;
            while changes.try_recv().is_ok() {}
            self.output.say("— changed, installing again —");
        }
    }

    async fn follow_some(&self, session: Option<&str>) -> Result<(), AppError> {
        match session {
            Some(session) => self.follow(session, None, 0).await,
            None => std::future::pending().await,
        }
    }

    /// Installs what is on disk and starts it anew; the id of the session.
    async fn renew(
        &self,
        given: &ArgMatches,
        app: &mut Option<String>,
    ) -> Result<String, AppError> {
        let mut kwargs = install::arguments(given)?;
        kwargs.insert("overwrite", true);
        if let Some(app) = app.as_deref() {
            kwargs.insert("app_id", app);
        }
        let record = self.with_progress("install", kwargs).await?;
        let id = id_of(&record)?;
        *app = Some(id.clone());
        for session in self.sessions_of(&id).await? {
            self.ask("stop", map! { "session_id" => session }).await?;
        }
        let session = self.ask("start", start(&id)).await?;
        let session = id_of(&session)?;
        self.output.say(&format!("{id} runs as {session}"));
        Ok(session)
    }
}

fn start(app: &str) -> Map {
    map! { "app_id" => app }
}

fn id_of(record: &Value) -> Result<String, AppError> {
    let id = record.get("id").and_then(Value::as_str);
    id.map(str::to_owned)
        .ok_or_else(|| AppError::Usage("the server sent a record without an id".into()))
}
