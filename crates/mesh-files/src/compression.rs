use std::time::Duration;

/// Chunks for which a probe's answer holds.
const CHUNKS_PER_PROBE: u32 = 32;

/// What to do with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compress {
    /// Compress it, and say what came of it with [`Compression::probed`].
    Probe,
    /// Compress it.
    Yes,
    /// Send it as it is.
    No,
}

/// Decides per file whether its chunks are compressed: where a probe saved more time on the wire than it took.
#[derive(Clone, Debug, Default)]
pub struct Compression {
    pays: bool,
    /// Chunks until the next probe.
    left: u32,
    /// Chunks of the file so far.
    in_file: u32,
}

impl Compression {
    /// What to do with the next chunk of a file.
    pub const fn next_chunk(&mut self) -> Compress {
        self.in_file = self.in_file.saturating_add(1);
        if self.left == 0 {
            return Compress::Probe;
        }
        self.left -= 1;
        if self.pays { Compress::Yes } else { Compress::No }
    }

    /// Another file begins, which may be of another kind. Behind files of one chunk the answer holds on: a probe for
    /// each of thousands would be most of the work.
    pub const fn next_file(&mut self) {
        if self.in_file > 1 {
            self.left = 0;
        }
        self.in_file = 0;
    }

    /// Takes in what a probe came to, and says whether the chunk should go compressed. `link_rate` is what
    /// the link has been carrying, bytes per second; none while that is not known.
    pub fn probed(
        &mut self,
        raw_bytes: u32,
        compressed_bytes: u32,
        took: Duration,
        link_rate: Option<u64>,
    ) -> bool {
        let saved = u64::from(raw_bytes.saturating_sub(compressed_bytes));
        // Less than an eighth is not worth the receiver's work either.
        let is_smaller = saved >= u64::from(raw_bytes / 8) && saved > 0;
        let is_quicker = link_rate.is_none_or(|rate| {
            u128::from(saved) * 1_000_000_000 > took.as_nanos() * u128::from(rate)
        });
        self.pays = is_smaller && is_quicker;
        self.left = CHUNKS_PER_PROBE;
        self.pays
    }
}
