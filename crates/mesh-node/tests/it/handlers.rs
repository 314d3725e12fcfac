//! Handlers that behave badly hurt themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mesh_node::Filter;
use tokio::sync::mpsc;

use crate::support::{message, number_of, pair, restart, send_acked, within};

/// Keeps the panic of a handler, which is wanted, out of the test's output.
fn panic_quietly(number: u64) -> ! {
    std::panic::resume_unwind(Box::new(number))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_or_never_ends_hurts_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let panics = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&panics);
    two.on_message(Filter::AppType("bad".into()), move |received| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { panic_quietly(number_of(&received)) }
    });
    two.on_message(Filter::AppType("slow".into()), |_| std::future::pending());
    let (told, mut heard) = mpsc::unbounded_channel();
    two.on_message(Filter::AppType("good".into()), move |received| {
        let told = told.clone();
        async move {
            told.send(number_of(&received)).unwrap();
            true
        }
    });
    for number in 0..20 {
        for app_type in ["bad", "slow", "good"] {
            send_acked(&one, message("two", app_type, number)).await;
        }
    }
    for number in 0..20 {
        assert_eq!(within(heard.recv()).await, Some(number));
    }
    crate::support::eventually("the bad handler saw every message", async || {
        panics.load(Ordering::Relaxed) == 20
    })
    .await;

    // What was not dealt with is still there, for a program that does better.
    let two = restart(dir.path(), "two", two).await;
    for app_type in ["bad", "slow"] {
        let mut inbox = two.subscribe(Filter::AppType(app_type.into()));
        for number in 0..20 {
            let received = within(inbox.next()).await.unwrap();
            assert_eq!(number_of(&received), number, "{app_type}");
            inbox.ack(received.message.message_id).await.unwrap();
        }
    }
    send_acked(&one, message("two", "good", 99)).await;
    let mut inbox = two.subscribe(Filter::Everything);
    let received = within(inbox.next()).await.unwrap();
    assert_eq!(number_of(&received), 99, "the good handler's messages had left the inbox");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_before_its_future_is_made_loses_that_message_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let (told, mut heard) = mpsc::unbounded_channel();
    two.on_message(Filter::Everything, move |received| {
        let number = number_of(&received);
        if number == 1 {
            panic_quietly(number);
        }
        let told = told.clone();
        async move { told.send(number).is_ok() }
    });
    for number in 0..3 {
        send_acked(&one, message("two", "any", number)).await;
    }
    assert_eq!(within(heard.recv()).await, Some(0));
    assert_eq!(within(heard.recv()).await, Some(2));
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_handler_that_never_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = pair(dir.path()).await;
    let (told, mut heard) = mpsc::unbounded_channel();
    two.on_message(Filter::Everything, move |_| {
        told.send(()).unwrap();
        std::future::pending()
    });
    send_acked(&one, message("two", "any", 1)).await;
    within(heard.recv()).await.unwrap();
    within(two.stop()).await;
    within(one.stop()).await;
}
