//! The OpenAPI 3.1 document, built from the table of routes, the table of codes and the wire
//! types, so that it cannot forget any of them. What a route means in words is here.

use std::sync::LazyLock;

use hyper::body::Bytes;
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::extensions::{Extensions, ExtensionsBuilder};
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItemBuilder, PathsBuilder,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayBuilder, ComponentsBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Tag};

use super::access::Own;
use super::answer::{JSON, NDJSON};
use super::bulk_binary;
use super::described::{Body, Described, Success, describe};
use super::ops::StatusAnswer;
use super::problem::{self, Code};
use super::route::{Route, Verb};
use super::wire;

/// A schema and the name under which others refer to it.
pub type NamedSchema = (String, RefOr<Schema>);

/// In the order in which a reader wants them; paths are sorted by their names.
const TAGS: &[&str] = &[
    "Signing in",
    "People",
    "Credentials",
    "My wallet",
    "Notifications",
    "Wallets",
    "Transfers",
    "Holds",
    "Ledger",
    "API keys",
    "Administration",
    "Operations",
];
/// Rows that come in pages.
const PAGES: &[&str] = &[
    "Wallet",
    "Entry",
    "Session",
    "AuditEntry",
    "Account",
    "ApiKey",
    "Promotion",
    "DataKey",
    "Adjustment",
    "HistoryEntry",
    "MoneyRequest",
    "BankMove",
    "Device",
    "DeadLetter",
];
const KEY: &str = "api_key";
const ABOUT: &str = "Wallets, transfers and holds, durable when answered. Money is a decimal string in major units. \
    Errors are problem documents (RFC 9457); programs decide by their `code`. Repeat a request with the same \
    Idempotency-Key, and it is answered as the first time.";

static JSON_BYTES: LazyLock<Bytes> =
    LazyLock::new(|| document().to_json().expect("a document of strings is always JSON").into());

pub fn json() -> Bytes {
    JSON_BYTES.clone()
}

pub fn add<T: ToSchema>(list: &mut Vec<NamedSchema>) {
    list.push((T::name().into_owned(), T::schema()));
}

pub fn document() -> OpenApi {
    let mut schemas = Vec::new();
    wire::schemas(&mut schemas);
    problem::schemas(&mut schemas);
    add::<StatusAnswer>(&mut schemas);
    let mut components = ComponentsBuilder::new();
    for (name, schema) in schemas {
        components = components.schema(name, schema);
    }
    for &row in PAGES {
        components = components.schema(format!("{row}Page"), page_of(row));
    }
    for &code in Code::ALL {
        components = components.response(code.name(), problem_response(code));
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An operator's API key, flk_..."));
    components = components.security_scheme(KEY, SecurityScheme::Http(bearer.build()));
    let mut paths = PathsBuilder::new();
    for &route in Route::ALL {
        let method = if route.verb() == Verb::Get { HttpMethod::Get } else { HttpMethod::Post };
        paths = paths.path(route.path(), PathItemBuilder::new().operation(method, operation(route)).build());
    }
    let version = env!("CARGO_PKG_VERSION");
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title("Florin").version(version).description(Some(ABOUT)).build())
        .paths(paths.build())
        .tags(Some(TAGS.iter().copied().map(Tag::new)))
        .components(Some(components.build()))
        .build()
}

fn operation(route: Route) -> OperationBuilder {
    let described = describe(route);
    let mut operation = OperationBuilder::new()
        .operation_id(Some(format!("{route:?}")))
        .tag(described.tag)
        .summary(Some(described.summary));
    if let Some(description) = described.description {
        operation = operation.description(Some(description));
    }
    for parameter in parameters(route, &described) {
        operation = operation.parameter(parameter);
    }
    let (status, success) = success(&described);
    operation = operation.response(status, success).request_body(request_body(&described));
    if route == Route::TransferRead {
        // A refused request is found under its id as well.
        let shapes = utoipa::openapi::schema::OneOfBuilder::new()
            .item(Ref::from_schema_name("Transfer"))
            .item(Ref::from_schema_name("RefusedTransfer"));
        let content = ContentBuilder::new().schema(Some(Schema::OneOf(shapes.build()))).build();
        operation = operation.response("200", ResponseBuilder::new().description("OK").content(JSON, content));
    }
    // Codes that share a status are listed together, as a status has one response.
    let mut statuses: Vec<u16> = described.codes(route).iter().map(|code| code.status().as_u16()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let codes: Vec<Code> =
            described.codes(route).into_iter().filter(|code| code.status().as_u16() == status).collect();
        operation = match codes[..] {
            [code] => operation.response(
                status.to_string(),
                RefOr::<Response>::Ref(Ref::new(format!("#/components/responses/{}", code.name()))),
            ),
            _ => operation.response(status.to_string(), problems_response(&codes)),
        };
    }
    operation = operation.extensions(Some(who_may(route)));
    if !route.is_open() {
        operation = operation.security(SecurityRequirement::new::<_, [&str; 0], &str>(KEY, []));
    }
    operation
}

/// The row of the table of routes, for readers and for programs.
fn who_may(route: Route) -> Extensions {
    let access = route.access();
    let mut callers: Vec<&str> = access.roles.iter().map(|role| role.name()).collect();
    if access.is_open() {
        callers.push("anybody");
    } else if access.operator {
        callers.push("operator");
    }
    let own = match access.own {
        Own::Nothing => "nothing",
        Own::Caller => "the caller's account",
        Own::Wallet => "the wallet",
        Own::Named(what) => what,
    };
    let scope = access.scope.map(|scope| scope.name());
    ExtensionsBuilder::new()
        .add("x-access", serde_json::json!({ "callers": callers, "own": own, "scope": scope }))
        .build()
}

fn parameters(route: Route, described: &Described) -> Vec<Parameter> {
    let text = |format: Option<&str>| {
        let kind = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
        Some(match format {
            Some(format) => kind.format(Some(utoipa::openapi::SchemaFormat::Custom(format.to_owned()))).build(),
            None => kind.build(),
        })
    };
    let mut list = Vec::new();
    if route.path().contains("{id}") {
        let id = ParameterBuilder::new().name("id").parameter_in(ParameterIn::Path).required(Required::True);
        list.push(id.schema(text(Some("uuid"))).build());
    }
    if route.needs_key() || described.takes_optional_key {
        let required = if route.needs_key() { Required::True } else { Required::False };
        let key = ParameterBuilder::new().name("Idempotency-Key").parameter_in(ParameterIn::Header).required(required);
        let about = "1 to 255 visible ASCII characters. A UUID is itself the id of what is made.";
        list.push(key.description(Some(about)).schema(text(None)).build());
    }
    if described.takes_confirmation {
        let token = ParameterBuilder::new().name("Confirmation").parameter_in(ParameterIn::Header);
        let about = "The token of /v1/me/confirmations; a person needs one above the server's threshold.";
        list.push(token.required(Required::False).description(Some(about)).schema(text(None)).build());
    }
    for (name, required, about) in described.query {
        let required = if *required { Required::True } else { Required::False };
        let parameter = ParameterBuilder::new().name(*name).parameter_in(ParameterIn::Query).required(required);
        list.push(parameter.description(Some(*about)).schema(text(None)).build());
    }
    let id = ParameterBuilder::new().name("X-Request-Id").parameter_in(ParameterIn::Header).required(Required::False);
    list.push(id.description(Some("Sent back; the server makes one without it.")).schema(text(None)).build());
    list
}

fn request_body(described: &Described) -> Option<RequestBody> {
    let example =
        described.example.map(|text| serde_json::from_str(text).expect("examples are JSON; a test reads them"));
    let body = RequestBodyBuilder::new();
    match described.body {
        Body::None => None,
        Body::Json(name, required) => {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).example(example).build();
            let required = if required { Required::True } else { Required::False };
            Some(body.required(Some(required)).content(JSON, content).build())
        }
        Body::Bulk => {
            let items = ArrayBuilder::new().items(Ref::from_schema_name("BulkItem")).max_items(Some(8190)).build();
            let array = ContentBuilder::new().schema(Some(Schema::Array(items))).example(example).build();
            let line = ContentBuilder::new().schema(Some(Ref::from_schema_name("BulkItem"))).build();
            let about = "An array, one object a line, or items of 64 bytes.";
            let body = body.description(Some(about)).required(Some(Required::True)).content(JSON, array);
            Some(body.content(NDJSON, line).content(bulk_binary::TRANSFERS, binary()).build())
        }
    }
}

fn success(described: &Described) -> (&'static str, ResponseBuilder) {
    match described.success {
        Success::Json(status, name) => {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build();
            let about = match status {
                "201" => "Created, or created before",
                "202" => "On its way",
                _ => "OK",
            };
            (status, ResponseBuilder::new().description(about).content(JSON, content))
        }
        Success::Bulk => {
            let outcomes = ArrayBuilder::new().items(Ref::from_schema_name("BulkOutcome")).build();
            let object = ObjectBuilder::new().property("outcomes", outcomes).required("outcomes").build();
            let array = ContentBuilder::new().schema(Some(Schema::Object(object))).build();
            let line = ContentBuilder::new().schema(Some(Ref::from_schema_name("BulkOutcome"))).build();
            let response = ResponseBuilder::new().description("An outcome for each item, in their order");
            let response = response.content(JSON, array).content(NDJSON, line);
            ("200", response.content(bulk_binary::OUTCOMES, binary()))
        }
        Success::Text(kind) => {
            let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build();
            let content = ContentBuilder::new().schema(Some(Schema::Object(text))).build();
            ("200", ResponseBuilder::new().description("OK").content(kind, content))
        }
    }
}

fn binary() -> utoipa::openapi::Content {
    let kind = SchemaType::Type(Type::String);
    let format = utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::Binary);
    let bytes = ObjectBuilder::new().schema_type(kind).format(Some(format)).build();
    ContentBuilder::new().schema(Some(Schema::Object(bytes))).build()
}

fn page_of(row: &str) -> Schema {
    let text = ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
    let flag = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Boolean));
    let object = ObjectBuilder::new()
        .property("data", ArrayBuilder::new().items(Ref::from_schema_name(row)))
        .property("has_more", flag)
        .property("next_cursor", text)
        .required("data")
        .required("has_more")
        .required("next_cursor");
    Schema::Object(object.build())
}

fn problem_response(code: Code) -> Response {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .example(Some(serde_json::json!({
            "type": format!("/docs#{}", code.name()),
            "title": code.title(),
            "status": code.status().as_u16(),
            "detail": code.title(),
            "code": code.name(),
            "request_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        })))
        .build();
    let about = format!("{}: {} (number {} in binary outcomes)", code.name(), code.title(), code.number());
    ResponseBuilder::new().description(about).content("application/problem+json", content).build()
}

fn problems_response(codes: &[Code]) -> Response {
    let names: Vec<&str> = codes.iter().map(|code| code.name()).collect();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(names.join(", ")).content("application/problem+json", content).build()
}
