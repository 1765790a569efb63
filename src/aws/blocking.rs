//! Waiting for AWS where there is no `await`: in threads of a unit of work, and in blocking parts of async code.

use std::io;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Waits for a future on this runtime, which other threads drive.
///
/// In a thread of a runtime this gives the thread's other tasks away first, which a runtime of one thread cannot.
///
/// # Errors
/// When called inside a runtime of one thread: it would wait for itself.
pub fn wait<F: Future>(runtime: &Handle, future: F) -> io::Result<F::Output> {
    match Handle::try_current().map(|current| current.runtime_flavor()) {
        Err(_) => Ok(runtime.block_on(future)),
        Ok(RuntimeFlavor::CurrentThread) => {
            Err(io::Error::other("AWS needs a runtime of several threads; please report this"))
        }
        Ok(_) => Ok(tokio::task::block_in_place(|| runtime.block_on(future))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_from_every_kind_of_thread() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let later = || async {
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(wait(&handle, later()).unwrap(), 7, "outside");
        assert_eq!(runtime.block_on(async { wait(&handle, later()).unwrap() }), 7, "the main task");
        let inner = handle.clone();
        let task = handle.spawn(async move { wait(&inner, later()).unwrap() });
        assert_eq!(runtime.block_on(task).unwrap(), 7, "a task");
        let single = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(single.block_on(async { wait(&handle, later()) }).is_err());
    }
}
