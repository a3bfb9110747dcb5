//! Links that move into shared memory, and peers that get it wrong: by mistake, on purpose,
//! or at random.

mod bounded;
#[path = "../socket/drive.rs"]
#[allow(dead_code, reason = "written for the tests of sockets")]
mod drive;
mod frame;
mod half;
mod handshake;
mod model;
mod positions;
mod raw;
mod records;
mod scene;
mod scribble;
mod scribbler;
mod slots;
mod turns;
mod words;
mod world;
