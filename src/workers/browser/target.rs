//! One page as DevTools know it.

use std::sync::Arc;

use chromiumoxide::cdp::browser_protocol::page::{EventLifecycleEvent, NavigateParams};
use chromiumoxide::types::{Command, MethodType};
use futures::StreamExt;
use serde::de::DeserializeOwned;

use super::devtools::{Devtools, DevtoolsError, Events};

/// A page that the server is attached to. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Target {
    id: Arc<str>,
    session: Devtools,
}

impl Target {
    /// The target `id`, with the session that is attached to it.
    pub fn new(id: &str, session: Devtools) -> Self {
        Self {
            id: id.into(),
            session,
        }
    }

    /// The id by which Chromium knows the page, and its main frame.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Gives a command, at once; the future is for its answer only.
    pub fn send<C: Command>(
        &self,
        command: C,
    ) -> impl Future<Output = Result<C::Response, DevtoolsError>> + Send + use<C> {
        self.session.send(command)
    }

    /// All events of one kind from now on.
    pub fn events<E: MethodType + DeserializeOwned>(&self) -> Events<E> {
        self.session.events()
    }

    /// Brings the page to an address, and waits until it has loaded. Lifecycle events must be on.
    pub async fn go_to(&self, address: &str) -> Result<(), DevtoolsError> {
        let mut moments = self.events::<EventLifecycleEvent>();
        let gone = self.send(NavigateParams::new(address)).await?;
        if let Some(text) = gone.error_text {
            return Err(DevtoolsError::Navigation(text));
        }
        // Without a loader the document is the same.
        let Some(loader) = gone.loader_id else {
            return Ok(());
        };
        // A document that goes elsewhere before it has loaded is followed there.
        let mut ours = false;
        while let Some(moment) = moments.next().await {
            if moment.frame_id.inner() != &*self.id {
                continue;
            }
            ours |= moment.loader_id == loader;
            if ours && moment.name == "load" {
                return Ok(());
            }
        }
        Err(DevtoolsError::Closed)
    }
}
