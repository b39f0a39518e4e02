//! The log of who was erased, outside of the database.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::Arc,
};

use async_trait::async_trait;
use steadfast_privacy::{PortError, Tombstone, TombstoneLog};

/// Tombstones in a file of one JSON object a line, that only its owner may read.
///
/// A line is on the disk when it was added. One that was cut off by a crash is as good as not
/// there, and the next one takes its place.
#[derive(Clone, Debug)]
pub struct TombstoneFile {
    path: Arc<PathBuf>,
}

/// A line of the log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "line {line} of {path} is no tombstone: repair the file, or move it away to forget who was erased",
    path = path.display()
)]
struct BrokenLine {
    path: PathBuf,
    line: usize,
    source: serde_json::Error,
}

impl TombstoneFile {
    /// The log at `path`, which need not be there yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path: Arc::new(path),
        }
    }

    fn append_line(&self, tombstone: &Tombstone) -> io::Result<()> {
        let mut line = serde_json::to_vec(tombstone)?;
        line.push(b'\n');
        let is_new = !self.path.exists();
        let mut options = OpenOptions::new();
        let options = options.create(true).read(true).append(true).mode(0o600);
        let mut file = options.open(&*self.path)?;
        // Another process may add one at the same time.
        file.lock()?;
        let end = end_of_last_line(&mut file)?;
        file.set_len(end)?;
        file.write_all(&line)?;
        file.sync_all()?;
        match self.path.parent().filter(|_| is_new) {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    fn read_all(&self) -> Result<Vec<Tombstone>, PortError> {
        let file = match File::open(&*self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            file => file.map_err(PortError::permanent)?,
        };
        let mut first = BTreeMap::new();
        let mut lines = BufReader::new(file);
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            lines
                .read_until(b'\n', &mut text)
                .map_err(PortError::permanent)?;
            if !text.ends_with(b"\n") {
                break;
            }
            let tombstone: Tombstone = serde_json::from_slice(&text).map_err(|source| {
                let path = (*self.path).clone();
                PortError::permanent(BrokenLine { path, line, source })
            })?;
            first.entry(tombstone.user_id).or_insert(tombstone);
        }
        Ok(first.into_values().collect())
    }
}

#[async_trait]
impl TombstoneLog for TombstoneFile {
    async fn append(&self, tombstone: &Tombstone) -> Result<(), PortError> {
        let (log, tombstone) = (self.clone(), *tombstone);
        let appended = tokio::task::spawn_blocking(move || log.append_line(&tombstone)).await;
        appended
            .map_err(PortError::permanent)?
            .map_err(PortError::permanent)
    }

    async fn read(&self) -> Result<Vec<Tombstone>, PortError> {
        let log = self.clone();
        let read = tokio::task::spawn_blocking(move || log.read_all()).await;
        read.map_err(PortError::permanent)?
    }
}

/// Where the last line ends that was written as a whole.
fn end_of_last_line(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    // A line is far shorter than that.
    let from = length.saturating_sub(4096);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(4096).read_to_end(&mut tail)?;
    let end = tail.iter().rposition(|byte| *byte == b'\n');
    Ok(end.map_or(from, |end| from + end as u64 + 1))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use steadfast_privacy::{ErasureId, test_util::erasure_conformance};
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn log_conforms_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("erasures.log");
        let log = TombstoneFile::new(path.clone());
        erasure_conformance::tombstone_log(&log).await.unwrap();
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn line_that_was_cut_off_is_replaced_and_a_broken_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("erasures.log");
        let log = TombstoneFile::new(path.clone());
        let tombstone = |user| Tombstone {
            user_id: Uuid::from_u128(user),
            request_id: ErasureId::new(Uuid::from_u128(9)),
            erased_at: jiff::Timestamp::UNIX_EPOCH,
        };
        for cut in 0..3 {
            std::fs::write(&path, &r#"{"user_id":"00"#[..cut * 7]).unwrap();
            assert_eq!(log.read().await.unwrap(), [], "{cut}");
            log.append(&tombstone(1)).await.unwrap();
            assert_eq!(log.read().await.unwrap(), [tombstone(1)], "{cut}");
        }
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"user");
        std::fs::write(&path, &text).unwrap();
        log.append(&tombstone(2)).await.unwrap();
        assert_eq!(log.read().await.unwrap(), [tombstone(1), tombstone(2)]);

        std::fs::write(&path, "nonsense\n").unwrap();
        let error = log.read().await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("line 1 of"), "{cause}");
    }
}
