//! Being registered, as a value: making one registers, dropping it takes everything back.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Admission, Gateway, Refusal, RefusalKind};
use crate::router::{Client, CloseOrder};

/// A registered connection. However its transport ends, dropping this removes it once, and only
/// what belongs to its own generation.
pub struct Presence {
    pub client: Arc<Client>,
    gateway: Arc<Gateway>,
}

impl Presence {
    /// Registers an admitted connection.
    ///
    /// # Errors
    /// The client id is taken by a living connection.
    pub fn enter(
        gateway: &Arc<Gateway>,
        admission: Admission,
    ) -> Result<(Self, oneshot::Receiver<CloseOrder>), Refusal> {
        let registration = gateway
            .router
            .register(admission.spec, admission.supersede)
            .map_err(|taken| Refusal::setup(RefusalKind::InUse, taken))?;
        let presence = Presence {
            client: registration.client,
            gateway: gateway.clone(),
        };
        gateway.members.joined(&presence.client);
        Ok((presence, registration.closed))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.gateway.members.closed(&self.client);
        self.gateway.remove(&self.client);
    }
}
