//! A socket with an honest peer in shared memory, and room for others.

use std::path::PathBuf;

use busduct::context::{ShmMode, ShmOptions};
use busduct::socket::{PeerFault, SocketKey, SocketOptions};
use busduct::zmtp::SocketType::{Pull, Push};

use crate::drive::{Core, Place, core, open, open_with, recv, send, until, until_peers};
use crate::half::Moved;

/// A PULL, which hostile peers speak to, and an honest PUSH of a context of its own.
pub(crate) struct Scene {
    pub(crate) context: Core,
    pub(crate) place: Place,
    pub(crate) pull: SocketKey,
    honest: Core,
    push: SocketKey,
}

impl Scene {
    pub(crate) fn new(change: impl FnOnce(&mut SocketOptions)) -> Self {
        Self::with(ShmOptions::default(), change)
    }

    pub(crate) fn with(shm: ShmOptions, change: impl FnOnce(&mut SocketOptions)) -> Self {
        let (place, mut context, mut honest) = (Place::new(), core(), core());
        context.configure_shm(shm).unwrap();
        honest.configure_shm(required()).unwrap();
        let (pull, push) = (open_with(&mut context, Pull, change), open(&mut honest, Push));
        context.bind(pull, &place.endpoint("p"), false).unwrap();
        honest.connect(push, &place.endpoint("p")).unwrap();
        let mut scene = Self { context, place, pull, honest, push };
        scene.honest_goes_on();
        assert_eq!(scene.context.shm_statistics().num_shm_peers, 1);
        scene
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.path("p")
    }

    /// A peer that has moved as it should.
    #[track_caller]
    pub(crate) fn moved(&mut self) -> Moved {
        let path = self.path();
        Moved::up(&mut self.context, &path, Push)
    }

    /// The honest peer sends through shared memory, small and large.
    #[track_caller]
    pub(crate) fn honest_goes_on(&mut self) {
        for sent in [b"honest".to_vec(), vec![7; 100_000]] {
            send(&mut self.honest, self.push, sent.clone());
            let (pull, honest) = (self.pull, &mut self.honest);
            let mut got = None;
            until(&mut self.context, |context| {
                honest.run_once(Some(std::time::Duration::ZERO)).unwrap();
                got = context.try_recv(pull).unwrap();
                got.is_some()
            });
            assert!(got.unwrap().parts() == [sent], "not what was sent");
        }
    }

    #[track_caller]
    pub(crate) fn recv(&mut self) -> Vec<u8> {
        recv(&mut self.context, self.pull)
    }

    /// Wait for the only fault.
    #[track_caller]
    pub(crate) fn fault(&mut self) -> PeerFault {
        let pull = self.pull;
        until(&mut self.context, |context| !context.faults(pull).is_empty());
        let faults = self.context.faults(self.pull);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].endpoint, self.place.endpoint("p"));
        faults.into_iter().next().unwrap().fault
    }

    /// The same, as text.
    #[track_caller]
    pub(crate) fn first_error(&mut self) -> String {
        match self.fault() {
            PeerFault::Protocol(error) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// The same, and see that it harmed nobody else.
    #[track_caller]
    pub(crate) fn error(&mut self) -> String {
        let error = self.first_error();
        self.ended();
        error
    }

    /// Wait until only the honest peer is left, with nothing of the other.
    #[track_caller]
    pub(crate) fn ended(&mut self) {
        until_peers(&mut self.context, self.pull, 1);
        let pull = self.pull;
        until(&mut self.context, |context| {
            let counters = context.statistics(pull).counters;
            let num_ended = counters.num_disconnected + counters.num_handshakes_failed;
            counters.num_accepted == num_ended + 1
        });
        self.honest_goes_on();
        let statistics = self.context.shm_statistics();
        assert_eq!((statistics.num_shm_peers, statistics.num_shm_slots_held), (1, 0));
    }
}

pub(crate) fn required() -> ShmOptions {
    ShmOptions { mode: ShmMode::Require, ..ShmOptions::default() }
}
