//! Compiles the `.proto` files: messages and services by prost and tonic, the descriptor set for reflection and
//! the gateway, [`Guarded`](../src/access.rs) implementations from the `mesher.access.v1.access` options, and what each
//! message that is sent is [like](../src/shape.rs).

use std::{collections::BTreeMap, env, error::Error, fmt::Write as _, fs, path::PathBuf};

use prost_reflect::{DescriptorPool, Kind, MessageDescriptor, MethodDescriptor, Value};

const INCLUDES: [&str; 2] = ["api", "googleapis"];

const FILES: [&str; 11] = [
    "mesher/access/v1/access.proto",
    "mesher/error/v1/error.proto",
    "mesher/issue/v1/issue.proto",
    "mesher/org/v1/org.proto",
    "mesher/project/v1/project.proto",
    "mesher/replicas/v1/replicas.proto",
    "mesher/rules/v1/rules.proto",
    "mesher/user/v1/audit.proto",
    "mesher/user/v1/session.proto",
    "mesher/user/v1/user.proto",
    "mesher/writer/v1/writer.proto",
];

/// Not imported by any of [`FILES`], but sent as details of their errors: the gateway renders them as JSON.
const ERROR_DETAILS: &str = "google/rpc/error_details.proto";

fn main() -> Result<(), Box<dyn Error>> {
    for include in INCLUDES {
        println!("cargo:rerun-if-changed={include}");
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new(INCLUDES)?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?.open_file(ERROR_DETAILS)?;
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(out.join("descriptor_set.bin"), &encoded)?;

    tonic_prost_build::configure()
        .codec_path("crate::codec::StrictCodec")
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .bytes(".")
        .compile_fds(compiler.file_descriptor_set())?;

    let pool = DescriptorPool::decode(encoded.as_slice())?;
    let mut guards = String::new();
    for service in pool.services().filter(|service| service.full_name().starts_with("mesher.")) {
        for method in service.methods() {
            guards.push_str(&guard(&pool, &method)?);
        }
    }
    fs::write(out.join("guards.rs"), guards)?;
    fs::write(out.join("shapes.rs"), shapes(&pool)?)?;
    Ok(())
}

/// The source of the [`Shaped`](../src/shape.rs) implementations for what RPCs take and answer, and of a static for each
/// message that these hold.
fn shapes(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut source = String::new();
    let mut shaped = BTreeMap::new();
    for service in pool.services().filter(|service| service.full_name().starts_with("mesher.")) {
        for message in service.methods().flat_map(|method| [method.input(), method.output()]) {
            shaped.insert(message.full_name().to_owned(), message);
        }
    }
    let mut found: Vec<MessageDescriptor> = shaped.values().cloned().collect();
    let mut next = 0;
    while let Some(message) = found.get(next).cloned() {
        next += 1;
        let mut fields = String::new();
        for field in message.fields() {
            let Kind::Message(nested) = field.kind() else { continue };
            write!(fields, "({}, &{}), ", field.number(), shape_name(&nested))?;
            if !found.contains(&nested) {
                found.push(nested);
            }
        }
        writeln!(source, "static {}: Shape = Shape(&[{fields}]);", shape_name(&message))?;
    }
    for message in shaped.values() {
        let package = message.parent_file().package_name().replace('.', "::");
        writeln!(source, "impl Shaped for crate::{package}::{} {{", message.name())?;
        writeln!(source, "    const SHAPE: &'static Shape = &{};", shape_name(message))?;
        writeln!(source, "}}")?;
    }
    Ok(source)
}

fn shape_name(message: &MessageDescriptor) -> String {
    message.full_name().replace('.', "_").to_uppercase()
}

/// The source of the `Guarded` implementation for the request message of `method`.
fn guard(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<String, Box<dyn Error>> {
    let name = method.full_name();
    let extension =
        pool.get_extension_by_name("mesher.access.v1.access").ok_or("the access option is gone")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return Err(format!("{name} has no (mesher.access.v1.access) option: who may call it?").into());
    }
    let access = options.get_extension(&extension);
    let access = access.as_message().ok_or("the access option is no message")?;
    let caller = access.get_field_by_name("caller").and_then(|value| value.as_enum_number()).unwrap_or(0);
    let (bound, least) = match caller {
        1 => ("ForAnyone", None),
        2 => ("ForSession", None),
        3 => ("ForRole", Some("Member")),
        4 => ("ForRole", Some("Admin")),
        5 => ("ForRole", Some("Owner")),
        6 => ("ForApiKey", None),
        other => return Err(format!("{name}: caller {other} is unknown").into()),
    };
    let resource = match access.get_field_by_name("resource").as_deref() {
        Some(Value::String(field)) => field.clone(),
        _ => String::new(),
    };
    let service = method.parent_service();
    let message = format!("crate::{}::{}", service.package_name().replace('.', "::"), method.input().name());
    let mut source = String::new();
    writeln!(source, "impl Guarded for {message} {{")?;
    writeln!(source, "    const RPC: &'static str = \"/{}/{}\";", service.full_name(), method.name())?;
    writeln!(source, "}}")?;
    match (least, resource.as_str()) {
        (None, "") => writeln!(source, "impl {bound} for {message} {{}}")?,
        (Some(least), field) if method.input().get_field_by_name(field).is_some() => {
            let kind = match field {
                "org_id" => "Org",
                "project_id" => "Project",
                "key_id" => "ApiKey",
                other => return Err(format!("{name}: {other} names no resource").into()),
            };
            writeln!(source, "impl {bound} for {message} {{")?;
            writeln!(source, "    const LEAST: Role = Role::{least};")?;
            writeln!(source, "    fn resource(&self) -> Resource<'_> {{")?;
            writeln!(
                source,
                "        Resource {{ kind: ResourceKind::{kind}, field: {field:?}, id: &self.{field} }}"
            )?;
            writeln!(source, "    }}")?;
            writeln!(source, "}}")?;
        }
        (Some(_), field) => {
            return Err(format!("{name}: a role needs a resource, and {field:?} is no field").into());
        }
        (None, _) => return Err(format!("{name}: only a role takes a resource").into()),
    }
    Ok(source)
}
