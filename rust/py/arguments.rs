//! What the methods of a socket are given, as the core takes it.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

use super::buffer::PyFrame;
use super::error;
use super::given::Given;
use super::operation::{Operation, Taking};
use crate::link::Message;

/// What a linger may be told as: left out, None, or seconds.
pub(super) enum Linger {
    Own,
    Given(Option<f64>),
}

impl<'py> FromPyObject<'_, 'py> for Linger {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is(object.py().Ellipsis()) {
            return Ok(Self::Own);
        }
        object.extract().map(Self::Given)
    }
}

#[inline]
pub(super) fn one<'py>(
    data: &Bound<'py, PyAny>,
    given: &mut Given<'py>,
) -> PyResult<Message<PyFrame>> {
    PyFrame::from_data(data, 0, given).map(Message::Single)
}

pub(super) fn frames<'py, C: FromIterator<PyFrame>>(
    data: &Bound<'py, PyAny>,
    given: &mut Given<'py>,
) -> PyResult<C> {
    let items = data.try_iter()?.enumerate();
    items.map(|(index, item)| PyFrame::from_data(&item?, index, given)).collect()
}

pub(super) fn parts<'py>(
    parts: &Bound<'py, PyAny>,
    given: &mut Given<'py>,
) -> PyResult<Message<PyFrame>> {
    let message = Message::from_parts(frames(parts, given)?);
    message.ok_or_else(|| error::misuse(parts.py(), "a message has at least one part"))
}

/// The bytes of a topic, copied.
#[derive(Default)]
pub(super) struct Topic(pub(super) Vec<u8>);

impl<'py> FromPyObject<'_, 'py> for Topic {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // NB: what is only looked at goes back to its owner, a loan too.
        let mut given = Given::default();
        PyFrame::from_data(&object, 0, &mut given).map(|frame| Self(frame.as_ref().to_vec()))
    }
}

pub(super) fn subscribers(py: Python<'_>, count: i64, topic: Topic) -> PyResult<Operation> {
    let Topic(topic) = topic;
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(Operation::Subscribers { count, topic }),
        _ => Err(error::config(py, &format!("count is {count}; it must be at least 1"))),
    }
}

/// Read a count or a size. What is larger than any there can be is as good as the largest,
/// and what is smaller as wrong as the smallest.
///
/// # Errors
///
/// TypeError for what is no integer.
pub(super) fn amount(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    value.extract().or_else(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(value.py()) {
            Ok(if value.lt(0)? { i64::MIN } else { i64::MAX })
        } else {
            Err(error)
        }
    })
}

pub(super) fn many(py: Python<'_>, max_n: i64, max_bytes: i64) -> PyResult<Taking> {
    // What is negative is as wrong as zero, and told as such.
    let size = |value: i64| usize::try_from(value).ok().filter(|&size| size > 0);
    match (size(max_n), size(max_bytes)) {
        (Some(max_n), Some(max_bytes)) => Ok(Taking { max_n, max_bytes }),
        _ => {
            let text = format!("max_n is {max_n} and max_bytes {max_bytes}; both are at least 1");
            Err(error::config(py, &text))
        }
    }
}
