//! Whether what was acknowledged is in the table, exactly once.

use std::fmt;

use anyhow::bail;
use futures_util::TryStreamExt as _;
use sqlx::PgConnection;
use uuid::Uuid;

/// What is wrong with the table, as far as anything is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    lost: usize,
    doubled: usize,
    unknown: usize,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, doubled, unknown } = self;
        write!(
            formatter,
            "{lost} acknowledged events are missing, {doubled} are stored twice, {unknown} were never acknowledged"
        )
    }
}

/// Fails unless the table holds the acknowledged events, each of them once, and no others. `unanswered` others may be
/// there: a call that was not answered may have been obeyed.
pub(crate) async fn exactly_once(
    connection: &mut PgConnection,
    acknowledged: &[Uuid],
    unanswered: u64,
) -> anyhow::Result<()> {
    let stored: Vec<Uuid> =
        sqlx::query_scalar::<_, Uuid>("SELECT event_id FROM events").fetch(connection).try_collect().await?;
    let difference = compare(acknowledged.to_vec(), stored);
    let unknown = u64::try_from(difference.unknown)?;
    if difference.lost > 0 || difference.doubled > 0 || unknown > unanswered {
        bail!("of {} acknowledged events {difference}", acknowledged.len());
    }
    Ok(())
}

fn compare(mut acknowledged: Vec<Uuid>, mut stored: Vec<Uuid>) -> Difference {
    let rows = stored.len();
    stored.sort_unstable();
    stored.dedup();
    acknowledged.sort_unstable();
    acknowledged.dedup();
    let is_stored = |id: &&Uuid| stored.binary_search(id).is_ok();
    let found = acknowledged.iter().filter(is_stored).count();
    Difference {
        lost: acknowledged.len() - found,
        doubled: rows - stored.len(),
        unknown: stored.len() - found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_twice_or_unknown_is_found() {
        let [a, b, c, d] = [1, 2, 3, 4].map(Uuid::from_u128);
        assert_eq!(compare(vec![a, b, c], vec![c, a, b]), Difference::default());
        let difference = Difference { lost: 1, doubled: 2, unknown: 1 };
        assert_eq!(compare(vec![a, b, c], vec![a, a, a, b, d]), difference);
    }
}
