//! What a handshake accepts, and what it does not.

use super::*;

fn side(key: u8, role: Role, nonce: u8) -> Handshake {
    Handshake::new(Key::new([key; KEY_BYTES]), role, [nonce; NONCE_BYTES])
}

fn introduce(client: &mut Handshake, server: &mut Handshake) -> Vec<u8> {
    let mut hello = Vec::new();
    client.begin(&server.mechanism().greeting(), &mut hello);
    let mut nothing = Vec::new();
    server.begin(&client.mechanism().greeting(), &mut nothing);
    assert!(nothing.is_empty());
    hello
}

fn tell(side: &mut Handshake, said: &[u8]) -> Result<(Vec<u8>, bool), Error> {
    let mut answer = Vec::new();
    let mut rest = said;
    let proven = side.feed(&mut rest, &mut answer)?.is_some();
    assert!(rest.is_empty());
    Ok((answer, proven))
}

#[test]
fn both_sides_prove_themselves_and_share_keys() {
    let (mut client, mut server) = (side(1, Role::Client, 2), side(1, Role::Server, 3));
    let hello = introduce(&mut client, &mut server);
    let (welcome, _) = tell(&mut server, &hello).unwrap();
    let mut initiate = Vec::new();
    let mut from_client = client.feed(&mut &welcome[..], &mut initiate).unwrap().unwrap();
    let mut nothing = Vec::new();
    let mut record = Vec::new();
    from_client.0.seal(&[std::io::IoSlice::new(b"hi")], &mut record);
    initiate.extend_from_slice(&record);
    let mut rest = &initiate[..];
    let mut from_server = server.feed(&mut rest, &mut nothing).unwrap().unwrap();
    assert_eq!((rest, &nothing[..]), (&record[..], &[][..]));
    let mut heard = Vec::new();
    let hear = |payload: &[u8]| -> Result<(), Error> {
        heard.extend_from_slice(payload);
        Ok(())
    };
    from_server.1.open(rest, hear).unwrap();
    assert_eq!(heard, b"hi");
    // The other direction has another key: what a side sent does not pass for an answer.
    assert!(from_client.1.open(rest, |_| Ok::<_, Error>(())).is_err());
}

#[test]
fn commands_cut_anywhere_are_understood() {
    let (mut client, mut server) = (side(1, Role::Client, 2), side(1, Role::Server, 3));
    let hello = introduce(&mut client, &mut server);
    let mut welcome = Vec::new();
    for byte in hello.chunks(1) {
        welcome.extend(tell(&mut server, byte).unwrap().0);
    }
    let (initiate, proven) = tell(&mut client, &welcome).unwrap();
    assert!(proven);
    let ends: Vec<_> = initiate.chunks(1).map(|b| tell(&mut server, b).unwrap().1).collect();
    assert_eq!(ends.iter().position(|&proven| proven), Some(initiate.len() - 1));
}

#[test]
fn another_key_is_found_out_by_either_side() {
    let (mut client, mut server) = (side(1, Role::Client, 2), side(9, Role::Server, 3));
    let hello = introduce(&mut client, &mut server);
    let (welcome, _) = tell(&mut server, &hello).unwrap();
    assert_eq!(tell(&mut client, &welcome), Err(Error::WrongKey));
    let mut initiate = Vec::new();
    push_command(&mut initiate, INITIATE, &[client.proof(Role::Client).as_bytes()]);
    assert_eq!(tell(&mut server, &initiate), Err(Error::WrongKey));
}

#[test]
fn proof_of_an_earlier_connection_is_refused() {
    let (mut client, mut server) = (side(1, Role::Client, 2), side(1, Role::Server, 3));
    let hello = introduce(&mut client, &mut server);
    let (welcome, _) = tell(&mut server, &hello).unwrap();
    let (initiate, _) = tell(&mut client, &welcome).unwrap();
    assert!(tell(&mut server, &initiate).unwrap().1);
    let mut later = side(1, Role::Server, 4);
    introduce(&mut side(1, Role::Client, 2), &mut later);
    tell(&mut later, &hello).unwrap();
    assert_eq!(tell(&mut later, &initiate), Err(Error::WrongKey));
    let mut again = side(1, Role::Client, 5);
    introduce(&mut again, &mut side(1, Role::Server, 3));
    assert_eq!(tell(&mut again, &welcome), Err(Error::WrongKey));
}

#[test]
fn proof_sent_back_to_its_maker_is_refused() {
    let (mut client, mut server) = (side(1, Role::Client, 2), side(1, Role::Server, 3));
    let hello = introduce(&mut client, &mut server);
    tell(&mut server, &hello).unwrap();
    let mut mirrored = Vec::new();
    push_command(&mut mirrored, INITIATE, &[server.proof(Role::Server).as_bytes()]);
    assert_eq!(tell(&mut server, &mirrored), Err(Error::WrongKey));
}

#[test]
fn changed_greeting_spoils_the_proof() {
    let (mut client, mut server) = (side(1, Role::Client, 2), side(1, Role::Server, 3));
    let mut hello = Vec::new();
    let mut greeting = server.mechanism().greeting();
    greeting[40] = 1;
    client.begin(&greeting, &mut hello);
    server.begin(&client.mechanism().greeting(), &mut Vec::new());
    let (welcome, _) = tell(&mut server, &hello).unwrap();
    assert_eq!(tell(&mut client, &welcome), Err(Error::WrongKey));
}

#[test]
fn what_the_handshake_does_not_want_is_refused() {
    let mut hello = Vec::new();
    push_command(&mut hello, HELLO, &[&[VERSION], &[2; NONCE_BYTES]]);
    let mut other_version = hello.clone();
    other_version[8] = 2;
    let mut refusal = Vec::new();
    crate::zmtp::encode_error(&mut refusal, "not you");
    for (said, expected) in [
        (&hello[..hello.len() - 1], None),
        (
            &b"\x04\x07\x05HELLO\x01"[..],
            Some("not the command that the handshake wants at byte 64"),
        ),
        (b"\x04\x06\x05READY", Some("not the command that the handshake wants at byte 64")),
        (b"\x00\x01x", Some("message amid the handshake at byte 64")),
        (b"\x04\x00", Some("command without a name at byte 64")),
        (b"\xff", Some("reserved flag bits are set at byte 64")),
        (&other_version, Some("peer speaks version 2 of BUSDUCT; this side speaks 1")),
        (&refusal, Some("peer refused: not you")),
        (b"\x06\0\0\0\0\0\0\x01\x07", Some("message of 263 bytes exceeds limit of 262 bytes")),
    ] {
        let mut server = side(1, Role::Server, 3);
        introduce(&mut side(1, Role::Client, 2), &mut server);
        let heard = tell(&mut server, said).err().map(|error| error.to_string());
        assert_eq!(heard.as_deref(), expected);
    }
    let mut server = side(1, Role::Server, 3);
    introduce(&mut side(1, Role::Client, 2), &mut server);
    tell(&mut server, &hello).unwrap();
    let again = tell(&mut server, &hello).unwrap_err();
    assert_eq!(again.to_string(), "not the command that the handshake wants at byte 105");
}

#[test]
fn a_key_does_not_print_itself() {
    assert_eq!(format!("{:?}", Key::new([1; KEY_BYTES])), "Key(..)");
}
