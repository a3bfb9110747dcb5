//! Where sockets listen and connect.

use std::os::fd::AsFd;
use std::time::Duration;

use super::closing::MAX_DRAINING;
use super::connector::Connector;
use super::{Bound, Context, Place, SetupError};
use crate::link::{BindError, Buffer, Closed, Endpoint, Listener};
use crate::socket::{ConnectorKey, EventKind, LinkKey, ListenerKey, Socket, SocketKey, State};

impl<B: Buffer> Context<B> {
    fn open_socket(&mut self, key: SocketKey) -> Result<&mut Socket<B>, SetupError> {
        let socket = self.sockets.get_mut(key);
        socket.filter(|socket| socket.state == State::Open).ok_or(SetupError::Closed)
    }

    /// Listen; return the endpoint really bound. TCP is for loopback alone, unless the
    /// context has a key or `insecure` says otherwise, which also has peers not asked for
    /// the key.
    ///
    /// # Errors
    ///
    /// [`SetupError`].
    pub fn bind(
        &mut self,
        key: SocketKey,
        endpoint: &str,
        insecure: bool,
    ) -> Result<String, SetupError> {
        let may_leave_host = insecure || self.key.is_some();
        let options = self.open_socket(key)?.options().listen(may_leave_host);
        let parsed = Endpoint::parse(endpoint)?;
        if let Endpoint::Inproc(_) = parsed {
            return self.bind_inproc(key, endpoint);
        }
        let listener = Listener::bind(&parsed, &options)
            .map_err(|error| SetupError::Bind { endpoint: endpoint.into(), error })?;
        let real = listener.endpoint().to_string();
        let mut watched = Ok(());
        let bound = self.bound.insert_with_key(|bound| {
            // NB: a listener that is not watched would accept nobody: it is taken back.
            watched = self.poller.add_listener(bound, listener.as_fd());
            Bound { place: Place::Listener(listener), socket: key, insecure }
        });
        if let Err(errno) = watched {
            self.bound.remove(bound);
            return Err(errno.into());
        }
        self.note_bound(key, bound, &real)?;
        Ok(real)
    }

    fn bind_inproc(&mut self, key: SocketKey, endpoint: &str) -> Result<String, SetupError> {
        if self.names.contains_key(endpoint) {
            let endpoint = endpoint.into();
            return Err(SetupError::Bind { endpoint, error: BindError::InUse });
        }
        let place = Place::Inproc(endpoint.into());
        let bound = self.bound.insert(Bound { place, socket: key, insecure: false });
        self.names.insert(endpoint.into(), bound);
        self.note_bound(key, bound, endpoint)?;
        self.attempt_pending(endpoint);
        self.arm_timer();
        Ok(endpoint.into())
    }

    fn note_bound(
        &mut self,
        key: SocketKey,
        bound: ListenerKey,
        endpoint: &str,
    ) -> Result<(), SetupError> {
        let socket = self.open_socket(key)?;
        socket.listeners.push(bound);
        socket.last_endpoint = endpoint.into();
        self.tell(key, EventKind::Listening, endpoint);
        Ok(())
    }

    /// Stop listening; peers already accepted stay.
    ///
    /// # Errors
    ///
    /// [`SetupError::NotThere`].
    pub fn unbind(&mut self, key: SocketKey, endpoint: &str) -> Result<(), SetupError> {
        let listeners = self.open_socket(key)?.listeners.clone();
        let is_there = |bound: &ListenerKey| self.bound[*bound].place.endpoint() == endpoint;
        let Some(bound) = listeners.into_iter().find(is_there) else {
            return Err(SetupError::NotThere { endpoint: endpoint.into() });
        };
        self.open_socket(key)?.listeners.retain(|&other| other != bound);
        self.forget_listener(bound);
        Ok(())
    }

    pub(super) fn forget_listener(&mut self, key: ListenerKey) {
        let Some(bound) = self.bound.remove(key) else {
            return;
        };
        self.tell(bound.socket, EventKind::Closed, bound.place.endpoint());
        match bound.place {
            Place::Listener(listener) => {
                // NB: a forked child may hold the descriptor open, and what is open stays
                // in the poller. One that rests is not there.
                let _ = self.poller.remove(listener.as_fd());
            }
            Place::Inproc(endpoint) => drop(self.names.remove(&endpoint)),
        }
    }

    /// Connect, now and whenever the connection is lost. An attempt that fails is
    /// repeated, not reported. Over TCP the peer must know the context's key, if there is
    /// one.
    ///
    /// # Errors
    ///
    /// [`SetupError::Closed`] and [`SetupError::Endpoint`].
    pub fn connect(&mut self, key: SocketKey, endpoint: &str) -> Result<(), SetupError> {
        self.keep_connected(key, endpoint, false)
    }

    /// Connect without asking for the key.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub fn connect_insecure(&mut self, key: SocketKey, endpoint: &str) -> Result<(), SetupError> {
        self.keep_connected(key, endpoint, true)
    }

    fn keep_connected(
        &mut self,
        key: SocketKey,
        endpoint: &str,
        insecure: bool,
    ) -> Result<(), SetupError> {
        let endpoint = Endpoint::parse(endpoint)?;
        self.open_socket(key)?;
        let connector = self.connectors.insert(Connector::new(key, endpoint, insecure));
        self.open_socket(key)?.connectors.push(connector);
        self.attempt(connector);
        self.arm_timer();
        Ok(())
    }

    /// End a connection; what it had not sent goes to the next peer. A TCP peer that does
    /// not end its half is let go after the socket's linger.
    ///
    /// # Errors
    ///
    /// [`SetupError::NotThere`].
    pub fn disconnect(&mut self, key: SocketKey, endpoint: &str) -> Result<(), SetupError> {
        let connectors = self.open_socket(key)?.connectors.clone();
        let is_there =
            |found: &ConnectorKey| self.connectors[*found].endpoint.to_string() == endpoint;
        let Some(found) = connectors.into_iter().find(is_there) else {
            return Err(SetupError::NotThere { endpoint: endpoint.into() });
        };
        let link = self.connectors[found].link;
        if let Some(link) = link {
            self.flush_link(link);
        }
        self.forget_connector(found);
        if let Some(link) = link {
            let linger = self.open_socket(key)?.options().linger;
            self.part(link, linger);
        }
        self.arm_timer();
        Ok(())
    }

    /// End a link that is sound: what the kernel took for the peer is still delivered.
    fn part(&mut self, key: LinkKey, linger: Option<Duration>) {
        let Some(peer) = self.links.get_mut(key).filter(|peer| peer.link.is_open()) else {
            return;
        };
        let socket = peer.socket;
        if linger == Some(Duration::ZERO) || !peer.link.drain() {
            self.link_down(key, Closed::Eof);
            return;
        }
        self.sockets[socket].remove_up(&mut self.links, key, &self.store);
        let endpoint = self.links[key].endpoint.clone();
        self.sockets[socket].link_ended(key, &endpoint);
        self.bound_draining(key, linger.unwrap_or(MAX_DRAINING));
        self.watch(key);
        self.spill(socket);
        self.wake_senders(socket);
    }
}
