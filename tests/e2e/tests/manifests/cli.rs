//! What a binary says of its settings in `--help`.

use std::{collections::BTreeMap, env, time::Duration};

use mesher_testing::Process;
use serde_json::Value;

/// A flag, and all that `--help` says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Setting {
    /// With its dashes.
    pub(crate) flag: String,
    pub(crate) variable: Option<String>,
    pub(crate) default: Option<String>,
    /// The values that it takes; none where it takes any.
    pub(crate) values: Vec<String>,
}

/// The settings of every binary, and of its subcommands, asked of each only once.
#[derive(Default)]
pub(crate) struct Binaries {
    known: Vec<String>,
    settings: BTreeMap<(String, Option<String>), Vec<Setting>>,
}

impl Binaries {
    /// Those that the workspace builds to be run, not to be tested with.
    pub(crate) fn of_workspace() -> Self {
        let known = workspace_binaries();
        assert!(!known.is_empty(), "cargo names no binaries");
        Self { known, settings: BTreeMap::new() }
    }

    /// Their names, in order.
    pub(crate) fn names(&self) -> &[String] {
        &self.known
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.known.iter().any(|known| known == name)
    }

    /// The settings of a binary, or of one of its subcommands.
    pub(crate) async fn settings(
        &mut self,
        binary: &str,
        subcommand: Option<&str>,
    ) -> Result<Vec<Setting>, String> {
        let key = (binary.to_owned(), subcommand.map(str::to_owned));
        if let Some(settings) = self.settings.get(&key) {
            return Ok(settings.clone());
        }
        if !self.contains(binary) {
            return Err(format!("`{binary}` is no binary of the workspace"));
        }
        let arguments: Vec<&str> = subcommand.into_iter().chain(["--help"]).collect();
        let mut process = Process::start(binary, &arguments, &[]);
        let status = process.wait(Duration::from_secs(30)).await;
        let help = process.output();
        if !status.success() {
            return Err(format!("`{binary} {}` fails: {help}", arguments.join(" ")));
        }
        let settings = parse(&help);
        self.settings.insert(key, settings.clone());
        Ok(settings)
    }
}

fn workspace_binaries() -> Vec<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tests = format!("{}/tests/", metadata["workspace_root"].as_str().unwrap());
    let packages = metadata["packages"].as_array().unwrap();
    let mut names: Vec<String> = packages
        .iter()
        .filter(|package| !package["manifest_path"].as_str().unwrap().starts_with(&tests))
        .flat_map(|package| package["targets"].as_array().unwrap())
        .filter(|target| target["kind"] == serde_json::json!(["bin"]))
        .map(|target| target["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort_unstable();
    names
}

/// Reads the options of clap's help, short or long.
fn parse(help: &str) -> Vec<Setting> {
    let mut blocks: Vec<(String, Vec<&str>)> = Vec::new();
    for line in help.lines() {
        let text = line.trim();
        let indent = line.len() - line.trim_start().len();
        let flag = text.split([' ', ',']).find(|word| word.starts_with("--"));
        // An option stands at the left, below `Options:`; what is said of it is indented further.
        if indent <= 6
            && text.starts_with('-')
            && let Some(flag) = flag
        {
            blocks.push((flag.to_owned(), vec![text]));
        } else if let Some((_, lines)) = blocks.last_mut() {
            lines.push(text);
        }
    }
    blocks
        .into_iter()
        .map(|(flag, lines)| {
            let text = lines.join(" ");
            Setting {
                flag,
                variable: bracketed(&text, "env: ").map(|variable| {
                    let name = variable.split('=').next().unwrap_or_default();
                    name.to_owned()
                }),
                default: bracketed(&text, "default: ").map(str::to_owned),
                values: possible_values(&text, &lines),
            }
        })
        .collect()
}

/// The rest of `[KEY REST]`.
fn bracketed<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let start = text.find(&format!("[{key}"))? + key.len() + 1;
    let length = text[start..].find(']')?;
    Some(&text[start..start + length])
}

fn possible_values(text: &str, lines: &[&str]) -> Vec<String> {
    if let Some(values) = bracketed(text, "possible values: ") {
        return values.split(", ").map(str::to_owned).collect();
    }
    lines
        .iter()
        .skip_while(|line| **line != "Possible values:")
        .filter_map(|line| line.strip_prefix("- "))
        .map(|value| value.split(':').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn both_forms_of_help_are_read() {
    let long = "\
Mesher's user service

Usage: mesher-user [OPTIONS] --database-url <DATABASE_URL>

Options:
      --listen <LISTEN>
          Address to serve gRPC on, such as --this

          [env: MESHER_LISTEN=]
          [default: 127.0.0.1:50053]

      --registration <REGISTRATION>
          Whether anyone may register

          Possible values:
          - open:   Anyone may
          - closed: Nobody may

          [env: MESHER_REGISTRATION=]
          [default: open]

  -h, --help
          Print help (see a summary with '-h')
";
    let short = "\
Options:
      --listen <LISTEN>  Address to serve gRPC on, such as --this [env: MESHER_LISTEN=] [default:
                         127.0.0.1:50053]
      --registration <REGISTRATION>
          Whether anyone may register [env: MESHER_REGISTRATION=] [default: open] [possible values: open, closed]
  -h, --help             Print help
";
    let setting = |flag: &str, variable: Option<&str>, default: Option<&str>, values: &[&str]| Setting {
        flag: flag.to_owned(),
        variable: variable.map(str::to_owned),
        default: default.map(str::to_owned),
        values: values.iter().map(|&value| value.to_owned()).collect(),
    };
    let expected = [
        setting("--listen", Some("MESHER_LISTEN"), Some("127.0.0.1:50053"), &[]),
        setting("--registration", Some("MESHER_REGISTRATION"), Some("open"), &["open", "closed"]),
        setting("--help", None, None, &[]),
    ];
    assert_eq!(parse(long), expected);
    assert_eq!(parse(short), expected);
}
