use mesh_protocol::{PeerId, Record, RecordId, UnixMillis, VerifiedRecord};

/// The two kinds of record that others depend on. Admissions come first: in a contest the ground that
/// others stand on is settled before who removes whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ActKind {
    Admission,
    Removal,
}

/// An admission or a removal, as far as the rule looks at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact<'a> {
    pub(crate) id: RecordId,
    pub(crate) kind: ActKind,
    pub(crate) signer: PeerId,
    pub(crate) subject: PeerId,
    pub(crate) at: UnixMillis,
    /// Of a removal: what stands. Of an admission: what is overridden.
    pub(crate) references: &'a [RecordId],
}

impl<'a> Fact<'a> {
    /// None for a founding record or profile: neither decides about anybody.
    pub(crate) fn of(record: &'a VerifiedRecord) -> Option<Self> {
        match record.record() {
            Record::Founding(_) | Record::Profile(_) => None,
            Record::Admission(admission) => Some(Self {
                id: record.id(),
                kind: ActKind::Admission,
                signer: admission.sponsor,
                subject: admission.subject,
                at: admission.admitted_at,
                references: &admission.overrides,
            }),
            Record::Removal(removal) => Some(Self {
                id: record.id(),
                kind: ActKind::Removal,
                signer: removal.remover,
                subject: removal.subject,
                at: removal.removed_at,
                references: &removal.standing,
            }),
        }
    }
}
