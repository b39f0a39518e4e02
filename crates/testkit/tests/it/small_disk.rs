use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use steadfast_testkit::{ChildProcess, PrivatePostgres, ServerError, SmallDisk, server_or_skip};

const MEGABYTE: usize = 1024 * 1024;

fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.contains(path.to_str().unwrap())
}

/// Waits until the disk is gone; fails after ten seconds.
fn assert_gone(path: &Path) {
    for _ in 0..1_000 {
        if !is_mounted(path) && !path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} is left", path.display());
}

#[test]
fn disk_is_full_when_its_bytes_are_used() {
    let Some(disk) = server_or_skip(SmallDisk::mount(MEGABYTE as u64)) else {
        return;
    };
    let (one, two) = (disk.path().join("one"), disk.path().join("two"));
    fs::write(&one, vec![1; MEGABYTE / 2]).unwrap();
    let error = fs::write(&two, vec![2; MEGABYTE]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    fs::remove_file(two).unwrap();
    fs::write(&one, vec![1; MEGABYTE / 2]).unwrap();
    let mode = fs::metadata(disk.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o777);
}

#[test]
fn read_only_disk_refuses_writes_until_it_is_writable() {
    let Some(disk) = server_or_skip(SmallDisk::mount(MEGABYTE as u64)) else {
        return;
    };
    let file = disk.path().join("file");
    fs::write(&file, "before").unwrap();
    let open = fs::File::options().append(true).open(&file).unwrap();
    match disk.remount_read_only() {
        Err(ServerError::Command { output, .. }) => assert!(output.contains("busy"), "{output}"),
        other => panic!("{other:?}"),
    }
    drop(open);

    disk.remount_read_only().unwrap();
    let error = fs::write(&file, "after").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    assert_eq!(fs::read_to_string(&file).unwrap(), "before");
    disk.remount_writable().unwrap();
    fs::write(&file, "after").unwrap();
}

#[test]
fn dropped_disk_leaves_nothing_also_with_an_open_file() {
    for read_only in [false, true] {
        let Some(disk) = server_or_skip(SmallDisk::mount(MEGABYTE as u64)) else {
            return;
        };
        let path = disk.path().to_owned();
        assert!(is_mounted(&path));
        let file = path.join("file");
        fs::write(&file, "open").unwrap();
        if read_only {
            disk.remount_read_only().unwrap();
        }
        let _open = fs::File::open(&file).unwrap();
        drop(disk);
        assert!(!is_mounted(&path) && !path.exists());
    }
}

/// Not a test by itself: holds a disk until it is killed.
#[test]
fn child() {
    if ChildProcess::role().is_some() {
        let disk = SmallDisk::mount(MEGABYTE as u64).unwrap();
        println!("disk {}", disk.path().display());
        loop {
            std::thread::park();
        }
    }
}

#[test]
fn killed_test_process_leaves_no_disk() {
    if server_or_skip(SmallDisk::mount(MEGABYTE as u64)).is_none() {
        return;
    }
    let mut child = ChildProcess::start("small_disk::child", "holder").unwrap();
    let line = loop {
        let line = child.next_line().unwrap();
        if line.starts_with("disk ") {
            break line;
        }
    };
    let path = Path::new(line.strip_prefix("disk ").unwrap());
    assert!(is_mounted(path));
    child.send("KILL");
    child.wait();
    assert_gone(path);
}

#[tokio::test]
async fn postgres_on_a_small_disk_fails_when_it_is_full() {
    let Some(disk) = server_or_skip(SmallDisk::mount(100 * MEGABYTE as u64)) else {
        return;
    };
    let builder = PrivatePostgres::builder().on(&disk);
    let Some(postgres) = server_or_skip(builder.start().await) else {
        return;
    };
    // The first connection writes files of its own, without which there is no other.
    postgres.create_database("first").await.unwrap();
    let filler = disk.path().join("filler");
    // Until the disk is full.
    fs::write(&filler, vec![0; 100 * MEGABYTE]).unwrap_err();
    match postgres.create_database("orders").await {
        Err(ServerError::Command { output, .. }) => {
            assert!(output.contains("No space left on device"), "{output}");
        }
        other => panic!("{other:?}"),
    }
    // The server can still be commanded, and recovers.
    postgres.kill();
    fs::remove_file(filler).unwrap();
    postgres.restart().await.unwrap();
    postgres.create_database("orders").await.unwrap();

    let directory = postgres.directory().to_owned();
    drop(postgres);
    assert!(!directory.exists());
    disk.remount_read_only().unwrap();
}
