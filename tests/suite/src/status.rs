//! What an error tells a program.

use std::collections::HashMap;

use tonic::Status;
use tonic_types::StatusExt as _;

/// The reason in an error's `ErrorInfo`.
pub fn reason(status: &Status) -> String {
    error_info(status).0
}

/// The reason and the metadata in an error's `ErrorInfo`, which every error of the API has.
pub fn error_info(status: &Status) -> (String, HashMap<String, String>) {
    match status.get_details_error_info() {
        Some(info) => {
            assert_eq!(info.domain, "mesher", "{status:?}");
            (info.reason, info.metadata)
        }
        None => panic!("{status:?} has no ErrorInfo"),
    }
}

/// The field that an error says was wrong.
pub fn violated_field(status: &Status) -> String {
    match status.get_details_bad_request().map(|details| details.field_violations) {
        Some(violations) if violations.len() == 1 => violations[0].field.clone(),
        other => panic!("{status:?} names not one field: {other:?}"),
    }
}
