//! The URL of a database. It is looked at before the driver sees it, which logs what it does not know, with the value.

use std::{fmt, fs, str::FromStr};

use sqlx::postgres::PgConnectOptions;
use url::Url;
use zeroize::Zeroizing;

use super::ConfigError;

/// What a value begins with that is a file's path and not a URL.
const FILE: &str = "file:";

const FORM: &str = "postgres://USER:PASSWORD@HOST:PORT/NAME";

/// What is mostly behind a URL that is read otherwise than it was meant.
const ENCODE: &str = "in a password all but letters and digits are written as %2F is for a slash";

/// The parameters that sqlx 0.9 reads, besides `options[NAME]`.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// A database URL. It holds a password, so neither `Debug` nor an error shows it, and it is wiped when it is dropped.
#[derive(Clone)]
pub struct DatabaseUrl(Zeroizing<String>);

impl DatabaseUrl {
    /// What sqlx needs to connect, or the flag's error.
    pub fn connect_options(&self) -> Result<PgConnectOptions, ConfigError> {
        let invalid = |reason: String| ConfigError { flag: "--database-url", reason };
        check(&self.0).map_err(invalid)?;
        self.0.parse().map_err(|error: sqlx::Error| {
            invalid(match error {
                // It quotes nothing but an `sslmode` that there is not.
                sqlx::Error::Configuration(cause) => cause.to_string(),
                _ => format!("it has the form {FORM}"),
            })
        })
    }
}

/// What is wrong with a URL, without quoting what could be part of a password.
fn check(text: &str) -> Result<(), String> {
    let url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") => url,
        Ok(_) | Err(url::ParseError::RelativeUrlWithoutBase) => {
            return Err(format!("it has the form {FORM}"));
        }
        Err(error) => return Err(format!("{error}: it has the form {FORM}, and {ENCODE}")),
    };
    if url.fragment().is_some() {
        return Err(format!("it has a `#`: it has the form {FORM}, and {ENCODE}"));
    }
    for (name, value) in url.query_pairs() {
        let is_option = name.strip_prefix("options[").is_some_and(|rest| rest.ends_with(']'));
        if is_option || PARAMETERS.contains(&&*name) {
            continue;
        }
        let is_name = name.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '_'));
        // The end of a password that had a question mark, or else the name of something.
        if !is_name || value.contains('@') {
            return Err(format!("what follows its `?` is no parameter; {ENCODE}"));
        }
        let known = PARAMETERS.join(", ");
        return Err(format!("there is no parameter `{name}`: there are {known} and options[NAME]"));
    }
    Ok(())
}

impl FromStr for DatabaseUrl {
    type Err = String;

    /// Takes a URL, or reads it from the file that is named.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix(FILE) else {
            return Ok(Self(Zeroizing::new(text.to_owned())));
        };
        let url = fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
        let url = Zeroizing::new(url);
        Ok(Self(Zeroizing::new(url.trim().to_owned())))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::{DatabaseUrl, PARAMETERS};

    fn error(url: &str) -> String {
        url.parse::<DatabaseUrl>().unwrap().connect_options().unwrap_err().to_string()
    }

    #[test]
    fn it_may_stand_in_a_file_and_is_never_shown() {
        let dir = std::env::temp_dir().join(format!("mesher-config-{}", std::process::id()));
        std::fs::write(&dir, "postgres://mesher:secret@db:5433/m\n").unwrap();
        let read: DatabaseUrl = format!("file:{}", dir.display()).parse().unwrap();
        let options = read.connect_options().unwrap();
        std::fs::remove_file(&dir).unwrap();
        assert_eq!((options.get_host(), options.get_port(), options.get_database()), ("db", 5433, Some("m")));
        assert!(!format!("{read:?}").contains("secret"));
        let missing = "file:/nowhere/at/all".parse::<DatabaseUrl>().unwrap_err();
        assert!(missing.contains("/nowhere/at/all"), "{missing}");
    }

    #[test]
    fn what_is_wrong_with_it_is_said_and_no_secret_is_quoted() {
        for (url, told) in [
            ("garbage", "it has the form postgres://"),
            ("mysql://u:hush@h/x", "it has the form postgres://"),
            ("postgres://u:hush@h:port/x", "invalid port number"),
            ("postgres://u:hu/sh@h/x", "as %2F is for a slash"),
            ("postgres://u:12#hush@h/x", "it has a `#`"),
            ("postgres://u:12?hush@h/x", "what follows its `?` is no parameter"),
            ("postgres://u:12?hush=hush@h/x", "what follows its `?` is no parameter"),
            ("postgres://u:p@h/x?sslpassword=hush", "there is no parameter `sslpassword`: there are"),
            ("postgres://u:p@h/x?sslmode=require&pasword=hush", "there is no parameter `pasword`"),
            ("postgres://u:p@h/x?sslmode=on", "unknown value \"on\""),
        ] {
            let error = error(url);
            assert!(error.contains("'--database-url'") && error.contains(told), "{url}: {error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn every_parameter_is_one_that_the_driver_reads() {
        for parameter in PARAMETERS.into_iter().chain(["options[work_mem]"]) {
            let value = match parameter {
                "hostaddr" => "127.0.0.1",
                "port" | "statement-cache-capacity" => "7",
                "sslmode" | "ssl-mode" => "require",
                _ => "x",
            };
            let url = |query: &str| format!("postgresql://u:p@h/n?{query}").parse::<DatabaseUrl>().unwrap();
            let [without, with] =
                ["", &format!("{parameter}={value}")].map(|query| url(query).connect_options());
            assert_ne!(format!("{:?}", without.unwrap()), format!("{:?}", with.unwrap()), "{parameter}");
        }
    }
}
