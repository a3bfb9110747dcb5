//! Shows what the `zeromq` crate does under faults that a message fabric must survive.
//!
//! Each case runs in a child process with a deadline and prints one line. Run one of
//! them alone by its name: `zeromq-crate-faults case churn`.

mod cases;
mod raw;

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(90);

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => cases::ALL.iter().try_for_each(|case| {
            println!("{}: {}", case.name, run_child(case.name)?);
            Ok(())
        }),
        ["case", name] => run_case(name),
        ["close-sender", endpoint] => cases::send_and_close(endpoint),
        _ => Err(io::Error::other("usage: zeromq-crate-faults [case NAME]")),
    }
}

fn run_case(name: &str) -> io::Result<()> {
    let case = cases::ALL
        .iter()
        .find(|case| case.name == name)
        .ok_or_else(|| io::Error::other("no such case"))?;
    println!("{}", (case.run)()?);
    Ok(())
}

/// Runs the case in a process of its own and says what it printed or how it died.
fn run_child(name: &str) -> io::Result<String> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["case", name])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait_until(&mut child, Instant::now() + DEADLINE)?;
    let printed = stdout.join().unwrap_or_default();
    if status.is_some_and(|status| status.success()) {
        return Ok(printed.trim().to_owned());
    }
    let ended = status.map_or("still running at its deadline".to_owned(), describe);
    let complaint = stderr.join().unwrap_or_default();
    let complaint = complaint.lines().find(|line| !line.is_empty()).unwrap_or("").to_owned();
    Ok(format!("process {ended}: {complaint}"))
}

fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(6) => "aborted (SIGABRT)".to_owned(),
        Some(signal) => format!("ended by signal {signal}"),
        None => status.to_string(),
    }
}

/// Waits for the child; kills it and returns None if the deadline comes first.
fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// Reads a pipe to its end on a thread, so that a full pipe cannot stop the child.
fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_string(&mut text);
        }
        text
    })
}
