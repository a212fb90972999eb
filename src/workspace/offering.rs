//! Services of the server itself, in the registry like any other.

use std::sync::Arc;

use super::directory::Directory;
use super::record::ServiceRecord;
use crate::identity::UserInfo;
use crate::map;
use crate::peer::{Service, ServiceError};
use crate::wire::Map;

impl Directory {
    /// Offers a service under the server's own client id in `workspace`.
    ///
    /// # Errors
    /// Its description does not make a registration.
    pub fn offer(&self, workspace: &str, service: Arc<dyn Service>) -> Result<(), ServiceError> {
        let spec = service.spec();
        let client = self.router.server_id().to_owned();
        let mut schema = Map::new();
        for method in spec.methods {
            let function = map! { "type" => "function", "function" => method.schema() };
            schema.insert(method.name, function);
        }
        let registration = map! {
            "id" => format!("{workspace}/{client}:{}", spec.id),
            "name" => spec.name,
            "type" => spec.kind,
            "description" => spec.description,
            "config" => service.config(),
            "service_schema" => schema,
        };
        let record = ServiceRecord::from_registration(
            &registration,
            workspace,
            &client,
            &UserInfo::root(),
            self.registry.next_seq(),
        )?;
        self.registry.insert(record)?;
        self.peer.offer(workspace, service);
        Ok(())
    }
}
