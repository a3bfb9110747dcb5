//! A compressed trie of topics in one arena. Nothing in it recurses, so that no topic and
//! no number of them can exhaust the stack.

/// Names a node while somebody holds its topic: other topics come and go without moving it.
pub(super) type NodeId = u32;

const ROOT: NodeId = 0;

/// Topics count up to this many bytes.
pub(super) const MAX_TOPIC_BYTES: usize = 255;

/// A step from its parent. But for the root, a node has holders or two children.
#[derive(Debug)]
struct Node<K> {
    /// What its topic has beyond that of its parent; empty only for the root.
    label: Box<[u8]>,
    parent: NodeId,
    /// By the first byte of their labels.
    children: Vec<(u8, NodeId)>,
    /// In order, each once.
    holders: Vec<K>,
}

impl<K> Node<K> {
    fn new(label: &[u8], parent: NodeId) -> Self {
        Self { label: label.into(), parent, children: Vec::new(), holders: Vec::new() }
    }

    #[inline]
    fn find(&self, first: u8) -> Result<usize, usize> {
        self.children.binary_search_by_key(&first, |&(byte, _)| byte)
    }
}

#[derive(Debug)]
pub(super) struct Trie<K> {
    nodes: Vec<Node<K>>,
    /// Nodes that were given back.
    free: Vec<NodeId>,
}

impl<K: Copy + Ord> Trie<K> {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::new(b"", ROOT)], free: Vec::new() }
    }

    fn node(&self, id: NodeId) -> &Node<K> {
        &self.nodes[id as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node<K> {
        &mut self.nodes[id as usize]
    }

    fn child(&self, id: NodeId, first: u8) -> Option<NodeId> {
        let node = self.node(id);
        node.find(first).ok().map(|at| node.children[at].1)
    }

    /// Give `visit` the holders of every prefix of `topic` that has some, shortest first.
    #[inline]
    pub(super) fn walk<'a>(&'a self, topic: &[u8], mut visit: impl FnMut(&'a [K])) {
        let mut rest = &topic[..topic.len().min(MAX_TOPIC_BYTES)];
        let mut node = &self.nodes[ROOT as usize];
        loop {
            if !node.holders.is_empty() {
                visit(&node.holders);
            }
            let Some(Ok(at)) = rest.first().map(|&first| node.find(first)) else {
                return;
            };
            node = self.node(node.children[at].1);
            match rest.strip_prefix(&*node.label) {
                Some(longer) => rest = longer,
                None => return,
            }
        }
    }

    /// The node of exactly `topic`.
    pub(super) fn find(&self, topic: &[u8]) -> Option<NodeId> {
        let (mut id, mut rest) = (ROOT, topic);
        while let Some(&first) = rest.first() {
            id = self.child(id, first)?;
            rest = rest.strip_prefix(&*self.node(id).label)?;
        }
        Some(id)
    }

    /// The node of exactly `topic`, made if it is not there. It must be given a holder.
    pub(super) fn find_or_make(&mut self, topic: &[u8]) -> NodeId {
        let (mut id, mut rest) = (ROOT, topic);
        while let Some(&first) = rest.first() {
            let Some(child) = self.child(id, first) else {
                return self.add(id, rest);
            };
            let label = &self.node(child).label;
            let num_common = label.iter().zip(rest).take_while(|(a, b)| a == b).count();
            id = if num_common < label.len() { self.split(child, num_common) } else { child };
            rest = &rest[num_common..];
        }
        id
    }

    fn add(&mut self, parent: NodeId, label: &[u8]) -> NodeId {
        let node = Node::new(label, parent);
        let id = match self.free.pop() {
            Some(id) => {
                *self.node_mut(id) = node;
                id
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as NodeId
            }
        };
        self.link(parent, label[0], id);
        id
    }

    /// Make `id` the child of `parent` behind the byte `first`.
    fn link(&mut self, parent: NodeId, first: u8, id: NodeId) {
        let node = self.node_mut(parent);
        match node.find(first) {
            Ok(at) => node.children[at].1 = id,
            Err(at) => node.children.insert(at, (first, id)),
        }
    }

    /// Put a node between `id` and its parent that takes the first `nbytes` of its label.
    fn split(&mut self, id: NodeId, nbytes: usize) -> NodeId {
        let parent = self.node(id).parent;
        let label = std::mem::take(&mut self.node_mut(id).label);
        let upper = self.add(parent, &label[..nbytes]);
        let node = self.node_mut(id);
        node.label = label[nbytes..].into();
        node.parent = upper;
        self.link(upper, label[nbytes], id);
        upper
    }

    pub(super) fn holders(&self, id: NodeId) -> &[K] {
        &self.node(id).holders
    }

    /// Add a holder; `false` if it is one.
    pub(super) fn add_holder(&mut self, id: NodeId, key: K) -> bool {
        let holders = &mut self.node_mut(id).holders;
        let found = holders.binary_search(&key);
        if let Err(at) = found {
            holders.insert(at, key);
        }
        found.is_err()
    }

    /// Remove a holder; `false` if it is none.
    pub(super) fn remove_holder(&mut self, id: NodeId, key: K) -> bool {
        let holders = &mut self.node_mut(id).holders;
        let found = holders.binary_search(&key);
        if let Ok(at) = found {
            holders.remove(at);
            give_back(holders);
        }
        found.is_ok()
    }

    /// The bytes that lead to a node.
    pub(super) fn topic(&self, mut id: NodeId) -> Vec<u8> {
        let mut topic = Vec::new();
        while id != ROOT {
            let node = self.node(id);
            topic.extend(node.label.iter().rev());
            id = node.parent;
        }
        topic.reverse();
        topic
    }

    /// Remove what is of no use once a node has lost its last holder.
    pub(super) fn prune(&mut self, id: NodeId) {
        if id == ROOT {
            return;
        }
        let node = self.node(id);
        let parent = node.parent;
        match node.children.len() {
            0 => {
                let first = node.label[0];
                self.unlink(parent, first);
                self.give_up(id);
                let node = self.node(parent);
                if parent != ROOT && node.holders.is_empty() && node.children.len() == 1 {
                    self.merge(parent);
                }
            }
            1 => self.merge(id),
            _ => {}
        }
    }

    fn unlink(&mut self, parent: NodeId, first: u8) {
        let node = self.node_mut(parent);
        if let Ok(at) = node.find(first) {
            node.children.remove(at);
            give_back(&mut node.children);
        }
    }

    /// Let the only child of `id` take its place.
    fn merge(&mut self, id: NodeId) {
        let node = self.node(id);
        let (parent, child) = (node.parent, node.children[0].1);
        let label = [&*node.label, &*self.node(child).label].concat();
        self.link(parent, label[0], child);
        let node = self.node_mut(child);
        node.label = label.into();
        node.parent = parent;
        self.give_up(id);
    }

    fn give_up(&mut self, id: NodeId) {
        *self.node_mut(id) = Node::new(b"", ROOT);
        self.free.push(id);
    }

    /// Nodes in use.
    #[cfg(test)]
    pub(super) fn num_nodes(&self) -> usize {
        self.nodes.len() - self.free.len()
    }
}

/// Give memory back where most is unused: a peer that fills one node after the other must
/// not leave them all at their largest.
fn give_back<T>(items: &mut Vec<T>) {
    if items.len() < items.capacity() / 4 {
        items.shrink_to(items.len() * 2);
    }
}
