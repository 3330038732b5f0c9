//! A reader that writes down what it reads: each item becomes a node with its offset and length.

use std::mem;

use super::node::{Fault, Name, Node};
use crate::wire::cursor::Reader;
use crate::wire::error::WireError;

/// Why the reading of a group ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// Not yet in the tree.
    Error(WireError),
    /// In the tree already, with the bytes that were not decoded.
    Recorded,
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Self {
        Self::Error(error)
    }
}

pub(super) type Step<T = ()> = Result<T, Stop>;

/// Reads bytes and collects the nodes of the group that is being read.
pub(super) struct Walker<'a> {
    reader: Reader<'a>,
    base: usize,
    nodes: Vec<Node>,
    disclosure: Disclosure,
}

/// Whether bytes are shown as they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disclosure {
    Open,
    /// They may hold a secret.
    Concealed,
}

/// What one node says of what was read.
pub(super) trait Show<T> {
    fn show(self, node: Node, item: &T) -> Node;
}

impl<T, F: FnOnce(Node, &T) -> Node> Show<T> for F {
    fn show(self, node: Node, item: &T) -> Node {
        self(node, item)
    }
}

impl<'a> Walker<'a> {
    /// Reads `bytes`, the first of which stands at offset `base`.
    pub(super) fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { reader: Reader::new(bytes), base, nodes: Vec::new(), disclosure: Disclosure::Open }
    }

    /// One node for all the bytes, its parts read by `body`. Nothing may be left over.
    pub(super) fn tree(mut self, name: impl Into<Name>, body: impl FnOnce(&mut Self) -> Step) -> Node {
        let offset = self.offset();
        let _ = self.group(name, |walker| {
            body(walker)?;
            walker.finish()
        });
        self.nodes.pop().unwrap_or_else(|| Node::new("nothing", offset, 0))
    }

    /// Offset of the next byte.
    pub(super) fn offset(&self) -> usize {
        self.base.saturating_add(self.reader.position())
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.reader.peek()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }

    pub(super) fn finish(&self) -> Step {
        self.reader.finish().map_err(Stop::Error)
    }

    /// From here on, bytes that are not decoded are not shown: there may be a secret among them.
    pub(super) fn conceal(&mut self) {
        self.disclosure = Disclosure::Concealed;
    }

    /// What has been read so far.
    pub(super) fn take_nodes(&mut self) -> Vec<Node> {
        mem::take(&mut self.nodes)
    }

    /// Adds a node for what was not read here.
    pub(super) fn push(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// Changes the node that was added last.
    pub(super) fn amend(&mut self, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.last_mut() {
            change(node);
        }
    }

    /// Says what the node that was added last means.
    pub(super) fn explain(&mut self, text: impl Into<String>) {
        self.amend(|node| node.text = Some(text.into()));
    }

    /// Reads without a node of its own.
    pub(super) fn read<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Result<T, WireError>) -> Step<T> {
        let before = self.reader.clone();
        read(&mut self.reader).map_err(|error| {
            self.reader = before;
            Stop::Error(error)
        })
    }

    /// Reads one item into a node.
    pub(super) fn field<T>(
        &mut self,
        name: impl Into<Name>,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, WireError>,
        show: impl Show<T>,
    ) -> Step<T> {
        let offset = self.offset();
        let item = self.read(read)?;
        let length = self.offset().saturating_sub(offset);
        self.nodes.push(show.show(Node::new(name, offset, length), &item));
        Ok(item)
    }

    pub(super) fn u8(&mut self, name: impl Into<Name>) -> Step<u8> {
        self.field(name, Reader::u8, |node: Node, &value: &u8| node.with_value(value))
    }

    pub(super) fn u16(&mut self, name: impl Into<Name>) -> Step<u16> {
        self.field(name, Reader::u16, |node: Node, &value: &u16| node.with_value(value))
    }

    pub(super) fn u32(&mut self, name: impl Into<Name>) -> Step<u32> {
        self.field(name, Reader::u32, |node: Node, &value: &u32| node.with_value(value))
    }

    /// A byte with a name.
    pub(super) fn code(&mut self, name: impl Into<Name>, text: impl FnOnce(u8) -> String) -> Step<u8> {
        let show = |node: Node, &value: &u8| node.with_value(value).with_text(text(value));
        self.field(name, Reader::u8, show)
    }

    /// A byte that is 0 for false.
    pub(super) fn flag(&mut self, name: impl Into<Name>) -> Step<bool> {
        self.field(name, Reader::is_present, |node: Node, &value: &bool| node.with_value(value))
    }

    pub(super) fn length(&mut self, name: impl Into<Name>) -> Step<usize> {
        self.field(name, Reader::length, |node: Node, &value: &usize| node.with_value(value))
    }

    /// So many bytes, shown as they are.
    pub(super) fn bytes(&mut self, name: impl Into<Name>, count: usize) -> Step<&'a [u8]> {
        let disclosure = self.disclosure;
        let show = move |node, bytes: &&[u8]| raw(node, bytes, disclosure);
        self.field(name, |reader| reader.take(count), show)
    }

    /// A length and as many bytes, shown as they are.
    pub(super) fn octets(&mut self, name: impl Into<Name>) -> Step<&'a [u8]> {
        let disclosure = self.disclosure;
        self.field(name, Reader::octets, move |node, bytes: &&[u8]| raw(node, bytes, disclosure))
    }

    /// A node whose parts `body` reads. Where that fails, the rest of the bytes ends the node undecoded.
    pub(super) fn group<T>(
        &mut self,
        name: impl Into<Name>,
        body: impl FnOnce(&mut Self) -> Step<T>,
    ) -> Step<T> {
        let offset = self.offset();
        let outer = mem::take(&mut self.nodes);
        let result = match body(self) {
            Err(Stop::Error(error)) => {
                self.give_up(error);
                Err(Stop::Recorded)
            }
            other => other,
        };
        let children = mem::replace(&mut self.nodes, outer);
        let length = self.offset().saturating_sub(offset);
        self.nodes.push(Node::new(name, offset, length).with_children(children));
        result
    }

    /// A node whose parts are in the next `length` bytes. What is wrong inside stays inside.
    pub(super) fn bounded(
        &mut self,
        name: impl Into<Name>,
        length: usize,
        body: impl FnOnce(&mut Self) -> Step,
    ) -> Step {
        let inside = self.read(|reader| reader.sub_reader(length))?;
        let outside = mem::replace(&mut self.reader, inside);
        let _ = self.group(name, |walker| {
            body(walker)?;
            walker.finish()
        });
        self.reader = outside;
        Ok(())
    }

    /// Takes what is left, with the reason why it is not decoded.
    fn give_up(&mut self, error: WireError) {
        let offset = self.offset();
        let rest = self.reader.rest();
        let node = Node::new("undecoded", offset, rest.len());
        self.nodes.push(raw(node, rest, self.disclosure).with_error(Fault::wire(error, self.base)));
        let _ = self.reader.take(rest.len());
    }
}

fn raw(node: Node, bytes: &[u8], disclosure: Disclosure) -> Node {
    match disclosure {
        _ if bytes.is_empty() => node,
        Disclosure::Open => node.with_hex(bytes),
        Disclosure::Concealed => node.with_text("***"),
    }
}
