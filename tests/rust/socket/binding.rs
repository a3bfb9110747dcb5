//! Socket files and addresses: whose they are, and when they go.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use busduct::context::SetupError;
use busduct::link::BindError;
use busduct::zmtp::SocketType::{Pull, Push};

use crate::drive::{Place, core, open, open_with, recv, send, until};

#[test]
fn stale_socket_file_is_replaced() {
    let (place, mut context) = (Place::new(), core());
    drop(UnixListener::bind(place.path("p")).unwrap());
    assert!(place.path("p").exists());
    let (pull, push) = (open(&mut context, Pull), open(&mut context, Push));
    context.bind(pull, &place.endpoint("p"), false).unwrap();
    context.connect(push, &place.endpoint("p")).unwrap();
    send(&mut context, push, "x");
    assert_eq!(recv(&mut context, pull), b"x");
}

#[test]
fn endpoint_of_a_live_owner_is_not_taken() {
    let (place, mut context) = (Place::new(), core());
    let (owner, thief, push) =
        (open(&mut context, Pull), open(&mut context, Pull), open(&mut context, Push));
    for endpoint in [place.endpoint("p"), "tcp://127.0.0.1:0".into()] {
        let endpoint = context.bind(owner, &endpoint, false).unwrap();
        let error = context.bind(thief, &endpoint, false).unwrap_err();
        assert!(matches!(error, SetupError::Bind { error: BindError::InUse, .. }), "{error}");
        context.connect(push, &endpoint).unwrap();
    }
    send(&mut context, push, "x");
    assert_eq!(recv(&mut context, owner), b"x");
}

#[test]
fn file_that_is_no_socket_is_not_replaced() {
    let (place, mut context) = (Place::new(), core());
    std::fs::write(place.path("p"), "precious").unwrap();
    let pull = open(&mut context, Pull);
    let error = context.bind(pull, &place.endpoint("p"), false).unwrap_err();
    assert!(matches!(error, SetupError::Bind { error: BindError::InUse, .. }), "{error}");
    assert_eq!(std::fs::read(place.path("p")).unwrap(), b"precious");
}

#[test]
fn socket_file_is_for_its_owner_only_and_goes_with_the_listener() {
    let (place, mut context) = (Place::new(), core());
    let pull = open(&mut context, Pull);
    context.bind(pull, &place.endpoint("p"), false).unwrap();
    let mode = std::fs::metadata(place.path("p")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    context.unbind(pull, &place.endpoint("p")).unwrap();
    assert!(!place.path("p").exists());
    let error = context.unbind(pull, &place.endpoint("p")).unwrap_err();
    assert!(matches!(error, SetupError::NotThere { .. }), "{error}");
}

#[test]
fn file_that_another_put_in_place_of_ours_stays() {
    let (place, mut context) = (Place::new(), core());
    let pull = open(&mut context, Pull);
    context.bind(pull, &place.endpoint("p"), false).unwrap();
    std::fs::remove_file(place.path("p")).unwrap();
    let _other = UnixListener::bind(place.path("p")).unwrap();
    context.unbind(pull, &place.endpoint("p")).unwrap();
    assert!(place.path("p").exists());
}

#[test]
fn peers_stay_after_unbind() {
    let (place, mut context) = (Place::new(), core());
    let (pull, push) = (open(&mut context, Pull), open(&mut context, Push));
    context.bind(pull, &place.endpoint("p"), false).unwrap();
    context.connect(push, &place.endpoint("p")).unwrap();
    send(&mut context, push, "before");
    assert_eq!(recv(&mut context, pull), b"before");
    context.unbind(pull, &place.endpoint("p")).unwrap();
    send(&mut context, push, "after");
    assert_eq!(recv(&mut context, pull), b"after");
}

#[test]
fn address_beyond_the_machine_is_refused_unless_asked_for() {
    let mut context = core();
    let pull = open(&mut context, Pull);
    let error = context.bind(pull, "tcp://0.0.0.0:0", false).unwrap_err();
    assert!(matches!(error, SetupError::Bind { error: BindError::NotLoopback(_), .. }), "{error}");
    context.bind(pull, "tcp://0.0.0.0:0", true).unwrap();
}

#[test]
fn connection_that_is_refused_is_a_retry_and_no_failed_handshake() {
    let mut context = core();
    let push = open_with(&mut context, Push, |options| {
        options.reconnect_interval = Duration::from_millis(1);
    });
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    context.connect(push, &format!("tcp://{address}")).unwrap();
    until(&mut context, |context| context.statistics(push).counters.num_retries >= 3);
    assert_eq!(context.statistics(push).counters.num_handshakes_failed, 0);
}

#[test]
fn listener_that_cannot_be_watched_is_closed() {
    let (place, mut context) = (Place::new(), core());
    context.shut();
    let pull = open(&mut context, Pull);
    let error = context.bind(pull, &place.endpoint("p"), false).unwrap_err();
    assert!(matches!(error, SetupError::System(_)), "{error}");
    assert!(!place.path("p").exists());
}
