use mesh_protocol::RecordId;

/// Why a membership cannot be started. Nothing was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// A membership starts with the founding record.
    #[error("record {id} is not a founding record")]
    NotFounding {
        /// The record that was offered.
        id: RecordId,
    },
}

/// Why a record was not kept. The set is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefuseReason {
    /// The record belongs to another mesh.
    #[error("the record belongs to another mesh")]
    ForeignMesh,
    /// A mesh has one founding record, and this is not it.
    #[error("the mesh has another founding record")]
    SecondFounding,
    /// The set holds [`RECORDS_MAX`](crate::RECORDS_MAX) records.
    #[error("the set of records is full")]
    RecordsFull,
    /// [`ORPHANS_MAX`](crate::ORPHANS_MAX) records of unknown peers wait for an admission.
    #[error("too many records of peers that nobody admitted")]
    OrphansFull,
    /// The signer has [`SIGNER_ACTS_MAX`](crate::SIGNER_ACTS_MAX) admissions and removals here.
    #[error("the signer has too many records")]
    SignerFull,
}
