//! The Python face: convert, call the core, convert back.

mod arguments;
mod arrays;
mod awaitable;
mod batches;
mod blocking;
mod buffer;
mod context;
mod dlpack;
mod error;
mod event_loop;
mod fork;
mod given;
mod held;
mod inner;
mod io_thread;
mod lease;
mod loan;
mod memory;
mod monitor;
mod operation;
mod options;
mod owner;
mod shared;
mod socket;
mod statistics;
mod stop_iteration;
mod text;
mod waiters;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    use pyo3::prelude::*;

    use crate::zmtp::SocketType;

    #[pymodule_export]
    use super::batches::Batches;
    #[pymodule_export]
    use super::context::Context;
    #[pymodule_export]
    use super::lease::Lease;
    #[pymodule_export]
    use super::loan::Loan;
    #[pymodule_export]
    use super::monitor::Monitor;
    #[pymodule_export]
    use super::socket::Socket;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("BACKEND", "rust")?;
        for kind in SocketType::ALL {
            module.add(kind.name(), kind as u8)?;
        }
        Ok(())
    }
}
