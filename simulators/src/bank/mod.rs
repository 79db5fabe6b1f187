//! A bank that collects money from accounts and pays it out to them, settles after a while, and misbehaves as often as it is
//! told to. Its books are in a file and survive kill -9.

mod books;
mod faults;
mod server;

pub use books::{BooksError, Order, State, Way};
pub use faults::Faults;
pub use server::{Bank, ServeError};
