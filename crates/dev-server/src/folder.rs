use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use steadfast_clock::{Clock, SystemClock};
use tokio::task;

use crate::{Asset, AssetError, AssetName, AssetSource, Encoding};

/// Assets from a folder, read when they are asked for.
///
/// - A file that changes is served changed from the next request on; so is a folder that is a link
///   and now points elsewhere.
/// - Links are followed inside the folder only: one that leads out of it is not there. Whoever can
///   write to the folder while it is served is trusted not to swap files for links in between.
/// - Only regular files are read, each at most
///   [`with_max_file_bytes`](Self::with_max_file_bytes) long.
/// - What was read stays in memory, up to [`with_cache_bytes`](Self::with_cache_bytes) in all.
///   Each request still asks the system whether the file is the same (its inode, size and times),
///   and a file that changed within the last two seconds is not kept, as its times could not tell
///   the next change.
/// - Files are read on tokio's blocking threads.
///
/// # Examples
///
/// ```no_run
/// use steadfast_dev_server::{AssetServer, FolderAssets};
///
/// let assets = AssetServer::new(FolderAssets::open("web/dist")?);
/// # Ok::<(), steadfast_dev_server::AssetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FolderAssets {
    path: Arc<Path>,
    max_file_bytes: u64,
    cache: Arc<Mutex<Cache>>,
    clock: Arc<dyn Clock>,
}

/// A file's times tell two changes apart only if this much lies between them.
const SETTLE: Duration = Duration::from_secs(2);

impl FolderAssets {
    /// The longest file, unless set otherwise: 32 MiB.
    pub const MAX_FILE_BYTES: u64 = 32 << 20;
    /// The size of the cache, unless set otherwise: 64 MiB.
    pub const CACHE_BYTES: u64 = 64 << 20;

    /// A source that reads from the folder `path`.
    ///
    /// # Errors
    ///
    /// [`AssetError::OpenFolder`] where there is no folder that can be read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, AssetError> {
        let path = path.into();
        if let Err(source) = path.read_dir() {
            return Err(AssetError::OpenFolder { path, source });
        }
        Ok(Self {
            path: path.into(),
            max_file_bytes: Self::MAX_FILE_BYTES,
            cache: Arc::new(Mutex::new(Cache::new(Self::CACHE_BYTES))),
            clock: Arc::new(SystemClock),
        })
    }

    /// Sets the longest file that is served, in bytes.
    #[must_use]
    pub fn with_max_file_bytes(self, max_file_bytes: u64) -> Self {
        Self {
            max_file_bytes,
            ..self
        }
    }

    /// Sets how much is kept in memory, in bytes; nothing with 0.
    #[must_use]
    pub fn with_cache_bytes(self, max: u64) -> Self {
        Self {
            cache: Arc::new(Mutex::new(Cache::new(max))),
            ..self
        }
    }

    /// Sets the clock that tells how old a file is.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    fn find_blocking(&self, name: &AssetName) -> io::Result<Option<Arc<Asset>>> {
        let root = self.path.canonicalize()?;
        let Some(file) = Located::inside(&root, name.as_str())? else {
            return Ok(None);
        };
        let mut siblings = Vec::new();
        for encoding in Encoding::ALL {
            let sibling = format!("{name}{}", encoding.suffix());
            if let Some(file) = Located::inside(&root, &sibling)? {
                siblings.push((encoding, file));
            }
        }
        let stamps: Vec<Stamp> = std::iter::once(&file)
            .chain(siblings.iter().map(|(_, sibling)| sibling))
            .map(|located| located.stamp.clone())
            .collect();
        if let Some(asset) = self.with_cache(|cache| cache.get(name, &stamps)) {
            return Ok(Some(asset));
        }

        let mut asset = Asset::new(name, file.read(self.max_file_bytes)?);
        if let Some(modified) = file.stamp.modified {
            asset = asset.with_modified(modified);
        }
        for (encoding, sibling) in &siblings {
            asset = asset.with_encoding(*encoding, sibling.read(self.max_file_bytes)?);
        }
        let asset = Arc::new(asset);
        let now = self.clock.wall();
        if stamps.iter().all(|stamp| stamp.is_settled(now)) {
            self.with_cache(|cache| cache.put(name, stamps, asset.clone()));
        }
        Ok(Some(asset))
    }

    fn with_cache<R>(&self, f: impl FnOnce(&mut Cache) -> R) -> R {
        f(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl AssetSource for FolderAssets {
    /// # Cancel safety
    ///
    /// A read in flight ends by itself; its outcome may still enter the cache.
    async fn find(&self, name: &AssetName) -> Result<Option<Arc<Asset>>, AssetError> {
        let read = task::spawn_blocking({
            let (this, name) = (self.clone(), name.clone());
            move || this.find_blocking(&name)
        });
        let outcome = read.await.unwrap_or_else(|error| Err(error.into()));
        outcome.map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => AssetError::TooLarge {
                name: name.to_string(),
                max_bytes: self.max_file_bytes,
            },
            kind => AssetError::Read {
                name: name.to_string(),
                transient: matches!(
                    kind,
                    io::ErrorKind::Interrupted
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::ResourceBusy
                        | io::ErrorKind::StaleNetworkFileHandle
                ),
                source: Box::new(error),
            },
        })
    }
}

/// A regular file that lies inside the folder.
struct Located {
    path: PathBuf,
    stamp: Stamp,
}

impl Located {
    fn inside(root: &Path, name: &str) -> io::Result<Option<Self>> {
        let located = root.join(name).canonicalize().and_then(|path| {
            let metadata = path.metadata()?;
            let is_inside = path.starts_with(root) && metadata.is_file();
            Ok(is_inside.then(|| Self {
                stamp: Stamp::of(&metadata),
                path,
            }))
        });
        match located {
            Err(error) if is_absence(error.kind()) => Ok(None),
            located => located,
        }
    }

    fn read(&self, max_bytes: u64) -> io::Result<Bytes> {
        let mut content = Vec::new();
        if self.stamp.len <= max_bytes {
            content.reserve_exact(usize::try_from(self.stamp.len).unwrap_or(0));
            // One byte more than allowed, to notice a file that grew in between.
            File::open(&self.path)?
                .take(max_bytes.saturating_add(1))
                .read_to_end(&mut content)?;
        }
        if self.stamp.len.max(content.len() as u64) > max_bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(content.into())
    }
}

fn is_absence(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

/// What tells one state of a file from the next without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    /// Device, inode and time of the last status change, which copying with preserved times or a
    /// build with fixed ones does not hide.
    #[cfg(unix)]
    identity: (u64, u64, i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            identity: (
                metadata.dev(),
                metadata.ino(),
                metadata.ctime(),
                metadata.ctime_nsec(),
            ),
        }
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let is_old = |time: SystemTime| now.duration_since(time).is_ok_and(|age| age >= SETTLE);
        #[cfg(unix)]
        let changed = u64::try_from(self.identity.2)
            .ok()
            .map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        #[cfg(not(unix))]
        let changed = self.modified;
        changed.is_some_and(is_old) && self.modified.is_some_and(is_old)
    }
}

/// Assets by name, emptied when the next one would not fit.
#[derive(Debug)]
struct Cache {
    max: u64,
    size: u64,
    entries: HashMap<AssetName, (Vec<Stamp>, Arc<Asset>)>,
}

impl Cache {
    fn new(max: u64) -> Self {
        Self {
            max,
            size: 0,
            entries: HashMap::new(),
        }
    }

    fn get(&self, name: &AssetName, stamps: &[Stamp]) -> Option<Arc<Asset>> {
        let (cached, asset) = self.entries.get(name)?;
        (cached == stamps).then(|| asset.clone())
    }

    fn put(&mut self, name: &AssetName, stamps: Vec<Stamp>, asset: Arc<Asset>) {
        let size = asset.size();
        if size > self.max {
            return;
        }
        if let Some((_, replaced)) = self.entries.remove(name) {
            self.size -= replaced.size();
        }
        if self.size + size > self.max {
            self.entries.clear();
            self.size = 0;
        }
        self.size += size;
        self.entries.insert(name.clone(), (stamps, asset));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> AssetName {
        AssetName::new(name).unwrap()
    }

    #[test]
    fn cache_never_holds_more_than_its_size() {
        let mut cache = Cache::new(10);
        for (file, len) in [("a", 4), ("b", 4), ("a", 6), ("c", 3), ("d", 11), ("e", 10)] {
            let asset = Arc::new(Asset::new(&name(file), vec![0; len]));
            cache.put(&name(file), Vec::new(), asset);
            let held: u64 = cache.entries.values().map(|(_, asset)| asset.size()).sum();
            assert_eq!(cache.size, held);
            assert!(held <= 10, "{held} bytes after {file}");
        }
        assert!(cache.get(&name("e"), &[]).is_some());
        assert!(cache.get(&name("d"), &[]).is_none());
    }

    #[test]
    fn asset_that_takes_the_place_of_its_older_self_leaves_the_others_in_the_cache() {
        let mut cache = Cache::new(10);
        for (file, len) in [("a", 4), ("b", 4), ("a", 6)] {
            let asset = Arc::new(Asset::new(&name(file), vec![0; len]));
            cache.put(&name(file), Vec::new(), asset);
        }
        assert_eq!(cache.entries.len(), 2);
    }

    #[test]
    fn file_is_kept_only_when_its_times_can_tell_the_next_change() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        file.as_file().set_modified(long_ago).unwrap();
        let stamp = Stamp::of(&file.as_file().metadata().unwrap());
        // Its contents look old; that they came there just now shows in the other time.
        let now = SystemClock.wall();
        assert!(!stamp.is_settled(now));
        assert!(!stamp.is_settled(now - Duration::from_secs(60)));
        assert!(stamp.is_settled(now + Duration::from_secs(60)));
    }

    #[test]
    fn missing_folder_is_an_error_that_names_it() {
        let error = FolderAssets::open("/nowhere/at/all").unwrap_err();
        assert_eq!(
            error.to_string(),
            "asset folder /nowhere/at/all cannot be opened"
        );
    }
}
