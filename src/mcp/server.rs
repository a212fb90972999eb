//! Answering the requests of MCP clients.

use serde_json::{Map as JsonMap, Value as Json, json};

use super::content::{plain, prompt_result, resource_result, tidy, tool_failure, tool_result};
use super::message::{
    Failure, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, PROTOCOL_VERSIONS,
    RESOURCE_NOT_FOUND,
};
use super::provider::Provider;
use super::surface::{Content, Function, Style, Surface};
use crate::map;
use crate::wire::{Map, Value};

/// Methods of the protocol that no service here has anything for.
const UNOFFERED: [&str; 4] = [
    "logging/setLevel",
    "completion/complete",
    "resources/subscribe",
    "resources/unsubscribe",
];

/// The result of a request.
///
/// # Errors
/// See [`Failure`]; a tool that fails is a result, which says so.
pub async fn answer(
    provider: &Provider,
    surface: &Surface,
    method: &str,
    params: &JsonMap<String, Json>,
) -> Result<Json, Failure> {
    let request = Request {
        provider,
        surface,
        params,
    };
    match method {
        "initialize" => Ok(request.initialize()),
        "ping" => Ok(json!({})),
        "tools/list" if surface.has_tools() => request.tools().await,
        "tools/call" if surface.has_tools() || surface.native("call_tool").is_some() => {
            request.call_tool().await
        }
        "resources/list" if surface.has_resources() => request.resources().await,
        "resources/templates/list" if surface.has_resources() => request.templates().await,
        "resources/read" if surface.has_resources() => request.read_resource().await,
        "prompts/list" if surface.has_prompts() => request.prompts().await,
        "prompts/get" if surface.has_prompts() => request.get_prompt().await,
        "tools/list"
        | "tools/call"
        | "resources/list"
        | "resources/templates/list"
        | "resources/read"
        | "prompts/list"
        | "prompts/get" => Err(Failure::new(METHOD_NOT_FOUND, "Method not found")),
        known if UNOFFERED.contains(&known) => {
            Err(Failure::new(METHOD_NOT_FOUND, "Method not found"))
        }
        unknown => Err(Failure::new(
            INVALID_PARAMS,
            format!("Invalid request parameters: there is no method {unknown}"),
        )),
    }
}

struct Request<'a> {
    provider: &'a Provider,
    surface: &'a Surface,
    params: &'a JsonMap<String, Json>,
}

impl Request<'_> {
    fn initialize(&self) -> Json {
        let wanted = self.params.get("protocolVersion").and_then(Json::as_str);
        let version = PROTOCOL_VERSIONS
            .into_iter()
            .find(|known| Some(*known) == wanted)
            .unwrap_or(PROTOCOL_VERSIONS[0]);
        let mut capabilities = json!({});
        if self.surface.has_tools() {
            capabilities["tools"] = json!({ "listChanged": false });
        }
        if self.surface.has_resources() {
            capabilities["resources"] = json!({ "subscribe": false, "listChanged": false });
        }
        if self.surface.has_prompts() {
            capabilities["prompts"] = json!({ "listChanged": false });
        }
        let record = &self.provider.record;
        let mut result = json!({
            "protocolVersion": version,
            "capabilities": capabilities,
            "serverInfo": { "name": record.id(), "version": env!("CARGO_PKG_VERSION") },
        });
        let info = record.to_map(false);
        if let Some(text) = info.get_str("description").filter(|text| !text.is_empty()) {
            result["instructions"] = text.into();
        }
        result
    }

    /// Calls a function whose failure is one of the request.
    async fn ask(&self, function: &Function, arguments: Map) -> Result<Value, Failure> {
        let answered = self.provider.call(function, arguments).await;
        answered.map_err(|text| Failure {
            code: INTERNAL_ERROR,
            data: text
                .split_once(':')
                .filter(|(class, _)| class.chars().all(char::is_alphanumeric))
                .map(|(class, _)| json!({ "type": class })),
            message: text,
        })
    }

    /// What one of the service's own list functions returns, under `key`.
    async fn native_list(&self, name: &str, key: &str) -> Result<Json, Failure> {
        let listed = match self.surface.native(name) {
            Some(function) => plain(&self.ask(function, Map::new()).await?),
            None => Json::Null,
        };
        // Some return what the protocol has as the whole result.
        let items = listed.get(key).unwrap_or(&listed).as_array().cloned();
        let items: Vec<Json> = items.unwrap_or_default().into_iter().map(tidy).collect();
        Ok(json!({ key: items }))
    }

    async fn tools(&self) -> Result<Json, Failure> {
        if self.surface.style == Style::Native {
            return self.native_list("list_tools", "tools").await;
        }
        let tools = self.surface.tools.iter();
        Ok(json!({ "tools": tools.map(|tool| tool.to_json()).collect::<Vec<_>>() }))
    }

    async fn call_tool(&self) -> Result<Json, Failure> {
        let name = self.name()?;
        let arguments = self.arguments()?;
        let surface = self.surface;
        let (function, arguments) = match surface.style {
            Style::Native => {
                let call = map! { "name" => name, "arguments" => arguments };
                (surface.native("call_tool"), call)
            }
            _ => {
                let tool = surface.tools.iter().find(|tool| tool.name == name);
                (tool.map(|tool| &tool.function), arguments)
            }
        };
        let Some(function) = function else {
            return Ok(tool_failure(&format!("Tool '{name}' not found")));
        };
        Ok(match self.provider.call(function, arguments).await {
            Ok(value) => tool_result(&value, surface.style != Style::Inline),
            Err(text) => tool_failure(&text),
        })
    }

    async fn resources(&self) -> Result<Json, Failure> {
        if self.surface.style == Style::Native {
            return self.native_list("list_resources", "resources").await;
        }
        let resources = self.surface.resources.iter();
        let resources: Vec<Json> = resources.map(|resource| resource.to_json()).collect();
        Ok(json!({ "resources": resources }))
    }

    async fn templates(&self) -> Result<Json, Failure> {
        self.native_list("list_resource_templates", "resourceTemplates")
            .await
    }

    async fn read_resource(&self) -> Result<Json, Failure> {
        let uri = self.text("uri")?;
        if self.surface.style == Style::Native {
            let function = self.surface.native("read_resource");
            let function =
                function.ok_or_else(|| Failure::new(METHOD_NOT_FOUND, "Method not found"))?;
            let value = self.ask(function, map! { "uri" => uri }).await?;
            return Ok(resource_result(&value, uri, "text/plain"));
        }
        let mut resources = self.surface.resources.iter();
        let Some(resource) = resources.find(|resource| resource.uri == uri) else {
            return Err(Failure {
                code: RESOURCE_NOT_FOUND,
                message: format!("Resource '{uri}' not found"),
                data: Some(json!({ "uri": uri })),
            });
        };
        let value = match &resource.content {
            Content::Text(text) => Value::from(text),
            Content::Read(function) => self.ask(function, Map::new()).await?,
        };
        Ok(resource_result(&value, uri, &resource.mime))
    }

    async fn prompts(&self) -> Result<Json, Failure> {
        if self.surface.style == Style::Native {
            return self.native_list("list_prompts", "prompts").await;
        }
        let prompts = self.surface.prompts.iter();
        Ok(json!({ "prompts": prompts.map(|prompt| prompt.to_json()).collect::<Vec<_>>() }))
    }

    async fn get_prompt(&self) -> Result<Json, Failure> {
        let name = self.name()?;
        let arguments = self.arguments()?;
        if self.surface.style == Style::Native {
            let function = self.surface.native("get_prompt");
            let function =
                function.ok_or_else(|| Failure::new(METHOD_NOT_FOUND, "Method not found"))?;
            let call = map! { "name" => name, "arguments" => arguments };
            return Ok(prompt_result(&self.ask(function, call).await?, name));
        }
        let mut prompts = self.surface.prompts.iter();
        let prompt = prompts.find(|prompt| prompt.name == name || prompt.key == name);
        let prompt = prompt
            .ok_or_else(|| Failure::new(INVALID_PARAMS, format!("Prompt '{name}' not found")))?;
        let value = self.ask(&prompt.function, arguments).await?;
        Ok(prompt_result(&value, name))
    }

    fn text(&self, key: &str) -> Result<&str, Failure> {
        let text = self.params.get(key).and_then(Json::as_str);
        text.ok_or_else(|| {
            Failure::new(
                INVALID_PARAMS,
                format!("Invalid request parameters: {key} must be a string"),
            )
        })
    }

    fn name(&self) -> Result<&str, Failure> {
        self.text("name")
    }

    fn arguments(&self) -> Result<Map, Failure> {
        match self.params.get("arguments") {
            None | Some(Json::Null) => Ok(Map::new()),
            Some(Json::Object(arguments)) => Ok(arguments.clone().into_iter().collect()),
            Some(_) => Err(Failure::new(
                INVALID_PARAMS,
                "Invalid request parameters: arguments must be an object",
            )),
        }
    }
}
