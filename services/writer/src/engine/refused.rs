//! Events that are refused before they come to a shard: counted beside its queue, so that they neither wait for room in it nor take
//! it from others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use mesher_common::id::ProjectId;

use super::account::RefuseReason;

type Counts = [u64; RefuseReason::ALL.len()];

/// How many were refused of a shard's projects, since the shard last looked; cheap to clone. At most an entry for each project:
/// nobody is refused here whose key is not valid.
#[derive(Clone, Debug, Default)]
pub(super) struct Refused(Arc<Mutex<HashMap<ProjectId, Counts>>>);

impl Refused {
    /// Counts events of a project.
    pub(super) fn add(&self, project: ProjectId, reason: RefuseReason, count: u64) {
        // Nothing that is done under the lock leaves it half done.
        let mut projects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        projects.entry(project).or_default()[reason as usize] += count;
    }

    /// Passes on what was counted.
    pub(super) fn take(&self, mut count: impl FnMut(ProjectId, RefuseReason, u64)) {
        let projects = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (project, counts) in projects {
            for reason in RefuseReason::ALL {
                if counts[reason as usize] > 0 {
                    count(project, reason, counts[reason as usize]);
                }
            }
        }
    }
}
