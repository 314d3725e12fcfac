use std::future::pending;
use std::sync::Arc;
use std::task::{Context, Waker};

use hyper::rt::Executor as _;

use super::{Driver, Spawner};

/// A job as hyper makes them: it never ends by itself, and it holds the spawner.
fn start(spawner: &Spawner, held: &Arc<()>) {
    let (spawner_inside, held) = (spawner.clone(), Arc::clone(held));
    spawner.execute(async move {
        pending::<()>().await;
        drop((spawner_inside, held));
    });
}

fn poll(driver: &mut Driver) -> bool {
    use std::future::Future as _;
    std::pin::Pin::new(driver).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_dropped_driver_drops_its_jobs_started_or_not() {
    let (spawner, held) = (Spawner::new(), Arc::new(()));
    let mut driver = Driver::new(&spawner, pending());
    start(&spawner, &held);
    assert!(!poll(&mut driver));
    start(&spawner, &held);
    drop(driver);
    start(&spawner, &held);
    assert_eq!(Arc::strong_count(&held), 1, "whoever waits for these jobs would wait forever");
}

#[test]
fn the_end_of_the_connection_is_the_end() {
    let (spawner, held) = (Spawner::new(), Arc::new(()));
    let connection_spawner = spawner.clone();
    let job_held = Arc::clone(&held);
    let mut driver = Driver::new(&spawner, async move {
        // Jobs that are started while the driver runs are taken up without another wake-up.
        connection_spawner.execute(async move { drop(job_held) });
        tokio::task::yield_now().await;
    });
    start(&spawner, &held);
    while !poll(&mut driver) {}
    drop(driver);
    assert_eq!(Arc::strong_count(&held), 1);
}
