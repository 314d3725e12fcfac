//! What to do about each reason for which a push ends.

use mesh_protocol::PushReason;

/// The next step, for people; empty when there is none.
pub(super) const fn advice(reason: PushReason) -> &'static str {
    match reason {
        PushReason::RootUnknown => {
            "name another root with --root, or open it in the configuration file of the target's agent, under [[roots]]"
        }
        PushReason::SenderNotAllowed => {
            "push from a member that the root takes files from, or add this one to its allow_from at the target"
        }
        PushReason::TestRequired => {
            "name one of the root's tests with --test; test_commands at the target lists them"
        }
        PushReason::TestUnknown => {
            "a test is named exactly as the root's test_commands at the target has it"
        }
        PushReason::QuotaExceeded => {
            "remove something from the root, or raise its quota at the target"
        }
        PushReason::DiskFull => {
            "make room on the target's disk and push again: what has arrived does not travel twice"
        }
        PushReason::PathRefused => {
            "a name or a link leads out of the root or over something that is no folder; push without it"
        }
        PushReason::NamesClash => {
            "two names are the same one on the target's file system; rename one of them"
        }
        PushReason::KindRefused => {
            "only files, folders and symbolic links are pushed; leave the rest out with .meshignore"
        }
        PushReason::ApprovalDenied => "the reason is that of whoever denied it",
        PushReason::Expired => "push again, with a longer --ttl where the target is away for long",
        PushReason::Cancelled => "",
        PushReason::Busy => "the target has too many pushes under way; push again in a while",
        PushReason::ChecksumMismatch => {
            "push again; when it happens again, look at the disks and the memory of both machines"
        }
        PushReason::SourceChanged => "push again when nobody writes to the file",
        PushReason::SecretFound => {
            "take it out and make it worthless, or leave the file out with .meshignore; `mesh-ctl scan PATH` names every place"
        }
        PushReason::TestFailed => "correct it and push again",
        PushReason::TestTimedOut => {
            "make the test faster, or raise the root's time limit at the target"
        }
        PushReason::StorageError => {
            "`mesh-ctl doctor` on the machine that it happened on names what mends it"
        }
        PushReason::TargetChanged => {
            "look at the files that are named; `mesh-ctl rollback ID --force` backs them up and goes on"
        }
        PushReason::NothingKept => "the old versions were removed; push the files as they shall be",
        PushReason::NotAMember => "`mesh-ctl peers` shows the members",
        PushReason::ManifestInvalid | PushReason::Internal => {
            "check that both agents have the same version (`mesh-ctl peers`); their logs say more"
        }
    }
}

/// Whether a rule forbids it, rather than that something went wrong.
pub(super) const fn is_policy(reason: PushReason) -> bool {
    match reason {
        PushReason::SecretFound
        | PushReason::PathRefused
        | PushReason::SenderNotAllowed
        | PushReason::NotAMember
        | PushReason::ApprovalDenied => true,
        PushReason::RootUnknown
        | PushReason::TestRequired
        | PushReason::TestUnknown
        | PushReason::QuotaExceeded
        | PushReason::DiskFull
        | PushReason::NamesClash
        | PushReason::KindRefused
        | PushReason::Expired
        | PushReason::Cancelled
        | PushReason::Busy
        | PushReason::ManifestInvalid
        | PushReason::ChecksumMismatch
        | PushReason::SourceChanged
        | PushReason::TestFailed
        | PushReason::TestTimedOut
        | PushReason::StorageError
        | PushReason::TargetChanged
        | PushReason::NothingKept
        | PushReason::Internal => false,
    }
}
