//! A slot's life: taken, filled and given back; lent to a peer, leased and swept.

use std::hint::black_box;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use busduct::shm::{Arena, Borrower, ControlMap, Lender};
use busduct::sync::Doorbell;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [usize; 4] = [0, 32 << 10, 1 << 20, 16 << 20];
const BUDGET_BYTES: usize = 256 << 20;

fn take_copy_release(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("take_copy_release");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    for nbytes in SIZES {
        let payload = vec![7; nbytes];
        let mut arena = Arena::new(BUDGET_BYTES);
        let mut copy = || {
            let mut slot = arena.take(nbytes).expect("the budget has room");
            slot.copy_from(black_box(&payload));
            slot
        };
        assert_eq!(copy().as_ref(), payload);
        group.throughput(Throughput::Bytes(nbytes as u64));
        group
            .bench_function(BenchmarkId::from_parameter(nbytes), |bencher| bencher.iter(&mut copy));
    }
}

/// What a payload costs on its way, besides its copy.
fn lend_lease_sweep(criterion: &mut Criterion) {
    let (control, fd) = ControlMap::create().expect("there is memory");
    let (_line, peer_line) = UnixStream::pair().expect("there are descriptors");
    let bell = Arc::new(Doorbell::new().expect("there are descriptors"));
    let peer_control = ControlMap::open(fd).expect("it was made here");
    let mut borrower = Borrower::new(peer_control, bell, Arc::new(OwnedFd::from(peer_line)));
    let mut lender = Lender::new(control);
    let mut arena = Arena::new(BUDGET_BYTES);
    let slot = arena.take(1).expect("the budget has room");
    let fd = slot.segment().fd().try_clone_to_owned().expect("there are descriptors");
    borrower.add_segment(slot.segment().announcement(), fd).expect("it was made here");
    drop(slot);

    let mut group = criterion.benchmark_group("lend_lease_sweep");
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(2));
    group.bench_function("take", |bencher| {
        bencher.iter(|| {
            let slot = arena.take(1).expect("the budget has room");
            let descriptor = slot.descriptor();
            lender.lend(slot).expect("it is free");
            drop(borrower.take(black_box(descriptor)).expect("it is lent"));
            assert_eq!(lender.sweep(), 1);
        });
    });
    let slot = arena.take(1).expect("the budget has room");
    let descriptor = slot.descriptor();
    group.bench_function("lease", |bencher| {
        bencher.iter(|| {
            lender.reclaim();
            lender.lend(slot.clone()).expect("it is free");
            borrower.take(black_box(descriptor)).expect("it is lent")
        });
    });
}

criterion_group!(benches, take_copy_release, lend_lease_sweep);
criterion_main!(benches);
