//! Whatever a peer says, there is a plan, and it is no longer than what was said.

use std::collections::BTreeSet;

use mesh_protocol::{
    Dot, HybridClock, Incoming, LoserFacts, MergePlan, OriginHave, OriginId, RowFacts, TheirRow,
    Version, VersionVector,
};
use mesh_sync::{join, merge};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, any::<u64>(), Just(u64::MAX)]
}

fn origin() -> impl Strategy<Value = OriginId> {
    (0..3_u8).prop_map(|number| OriginId::from_bytes([number; 16]))
}

fn version() -> impl Strategy<Value = Version> {
    (number(), number(), origin(), number()).prop_map(|(life, clock, origin, sequence)| Version {
        life,
        clock: HybridClock(clock),
        origin,
        sequence,
    })
}

fn column() -> impl Strategy<Value = u16> {
    prop_oneof![0..3_u16, Just(u16::MAX)]
}

fn known() -> impl Strategy<Value = VersionVector> {
    let have = (origin(), number(), vec(number(), 0..3))
        .prop_map(|(origin, upto, holes)| OriginHave { origin, upto, holes, floor: 0 });
    vec(have, 0..3).prop_map(|have| VersionVector::of(&have))
}

fn facts() -> impl Strategy<Value = RowFacts> {
    let loser = (option::of(column()), version());
    let loser = loser.prop_map(|(column, version)| LoserFacts { column, version });
    let cells = btree_map(column(), version(), 0..3);
    (option::of(version()), cells, btree_set(column(), 0..3), vec(loser, 0..4)).prop_map(
        |(version, cells, uncovered, losers)| RowFacts { version, cells, uncovered, losers },
    )
}

/// Indices point at what is there, and nothing is said twice.
fn assert_sound(plan: &MergePlan, row: &RowFacts, columns: &[u16], table: &[u16]) {
    let once = |length: usize, distinct: usize| assert_eq!(length, distinct);
    assert!(plan.write.iter().all(|index| *index < columns.len()));
    once(plan.write.len(), plan.write.iter().collect::<BTreeSet<_>>().len());
    assert!(plan.settled.iter().all(|index| *index < row.losers.len()));
    assert!(plan.lost_incoming.iter().all(|(index, _)| index.is_none_or(|at| at < columns.len())));
    let mut named: BTreeSet<_> = table.iter().chain(columns).chain(row.cells.keys()).collect();
    named.extend(&row.uncovered);
    let touched = plan.cells_set.iter().map(|(column, _)| column).chain(&plan.cells_cleared);
    once(touched.clone().count(), touched.collect::<BTreeSet<_>>().len());
    assert!(plan.cells_set.iter().all(|(column, _)| named.contains(column)));
    assert!(
        plan.lost_here.len() <= named.len() + 1 && plan.lost_incoming.len() <= columns.len() + 1
    );
    for loser in &plan.lost_here {
        let cell = loser.column.and_then(|column| row.cells.get(&column).copied());
        assert!(cell == Some(loser.version) || row.version == Some(loser.version));
    }
}

proptest! {
    #[test]
    fn any_change_has_a_plan(
        row in facts(),
        context in known(),
        (life, row_clock) in (number(), option::of(number())),
        (origin, sequence) in (origin(), number()),
        columns in vec((column(), number().prop_map(HybridClock)), 0..4),
        table_columns in vec(column(), 0..4),
        listed in vec((column(), version()), 0..3),
    ) {
        let incoming = Incoming {
            dot: Dot { origin, sequence },
            context: &context,
            life,
            row_clock: row_clock.map(HybridClock),
            columns: &columns,
            table_columns: &table_columns,
            listed: &listed,
        };
        let plan = merge(&row, &incoming);
        let columns: Vec<_> = columns.iter().map(|(column, _)| *column).collect();
        assert_sound(&plan, &row, &columns, &table_columns);
    }

    #[test]
    fn any_two_states_have_a_plan(
        (row, facts) in (option::of(facts()), option::of(facts())),
        (known, their_known) in (known(), known()),
        columns in vec(column(), 0..4),
        table_columns in vec(column(), 0..4),
    ) {
        let theirs = TheirRow {
            facts: facts.as_ref(),
            columns: &columns,
            table_columns: &table_columns,
            known: &their_known,
        };
        let plan = join(row.as_ref(), &known, &theirs);
        let ours = row.unwrap_or_default();
        let mut all = table_columns.clone();
        all.extend(facts.iter().flat_map(|facts| facts.cells.keys().chain(&facts.uncovered)));
        assert_sound(&plan.merge, &ours, &columns, &all);
        prop_assert!(!plan.forget || (plan.merge.row.is_none() && plan.merge.cells_set.is_empty()));
        let losers = facts.map(|facts| facts.losers.len()).unwrap_or_default();
        prop_assert!(plan.adopted.iter().all(|index| *index < losers));
    }
}
