//! Services: registering, looking up, listing.

use super::ManagerService;
use crate::identity::Level;
use crate::map;
use crate::peer::{Arguments, CallContext, Reply, Service, ServiceError};
use crate::wire::{Map, Value};
use crate::workspace::listing::ListOptions;
use crate::workspace::lookup::LookupOptions;

/// Whether an id means the manager itself.
fn names_manager(id: &str) -> bool {
    id == "~" || id.ends_with("/~")
}

/// Results that are models in the reference carry this tag (protocol 4.2).
fn as_model(mut map: Map) -> Value {
    map.insert("_rtype", "pydantic-model");
    Value::Map(map)
}

impl ManagerService {
    pub(super) fn echo(
        &self,
        args: &mut Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        self.directory
            .require(&context.user, &context.ws, Level::ReadWrite)?;
        Ok(args.take("data").into())
    }

    pub(super) async fn register_service(
        &self,
        args: &mut Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let Value::Map(service) = args.take("service") else {
            return Err(ServiceError::type_("argument 'service' must be an object"));
        };
        self.directory.register(&service, context).await?;
        Ok(Value::Nil.into())
    }

    pub(super) fn unregister_service(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        self.directory
            .unregister(args.str("service_id")?, context)?;
        Ok(Value::Nil.into())
    }

    pub(super) async fn list_services(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let options = ListOptions {
            include_unlisted: args.bool("include_unlisted")?,
            include_app_services: args.bool("include_app_services")?,
            prioritize_running: args.bool("prioritize_running_services")?,
        };
        let found =
            self.directory
                .list_services(args.get("query"), options, &context.ws, &context.user);
        Ok(Reply::Packed(found.await?.packed()))
    }

    pub(super) async fn get_service_info(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let id = args.str("service_id")?;
        if names_manager(id) {
            return Ok(as_model(self.own_info()).into());
        }
        let options = LookupOptions::read(args.get("config"))?;
        let info = self.directory.service_info(id, &options, context).await?;
        Ok(as_model(info).into())
    }

    fn own_info(&self) -> Map {
        let spec = self.spec();
        let mut schema = Map::new();
        for method in spec.methods {
            let function = map! { "type" => "function", "function" => method.schema() };
            schema.insert(method.name, function);
        }
        map! {
            "config" => self.config(),
            "id" => "~",
            "name" => spec.name,
            "type" => spec.kind,
            "description" => spec.description,
            "docs" => Value::Nil,
            "app_id" => "*",
            "service_schema" => schema,
        }
    }

    pub(super) async fn get_service(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let id = args.str("service_id")?;
        if names_manager(id) {
            return Ok(Reply::Packed(
                self.directory.peer.packed_description("*", self),
            ));
        }
        let options = LookupOptions::read(args.get("config"))?;
        let service = self.directory.get_service(id, &options, context).await?;
        Ok(Value::Map(service).into())
    }
}
