//! Waiting for many answers at once.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Requests under way at a time.
const AT_A_TIME: usize = 32;

/// Awaits a future for each item, a number of them side by side; what they gave, in the order of the items.
pub(crate) async fn side_by_side<T, F, R, E>(items: &[T], start: impl Fn(&T) -> F) -> Result<Vec<R>, E>
where
    F: Future<Output = Result<R, E>>,
{
    let mut answers = Vec::with_capacity(items.len());
    for items in items.chunks(AT_A_TIME) {
        let mut waiting: Vec<_> = items.iter().map(|item| Waiting::Under(Box::pin(start(item)))).collect();
        poll_fn(|context| {
            let mut ready = true;
            for one in &mut waiting {
                if let Waiting::Under(future) = one {
                    match future.as_mut().poll(context) {
                        Poll::Ready(answer) => *one = Waiting::Done(answer),
                        Poll::Pending => ready = false,
                    }
                }
            }
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        for one in waiting {
            if let Waiting::Done(answer) = one {
                answers.push(answer?);
            }
        }
    }
    Ok(answers)
}

enum Waiting<F: Future> {
    Under(Pin<Box<F>>),
    Done(F::Output),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_come_in_order_and_are_waited_for_at_once() {
        let items: Vec<u64> = (0..70).collect();
        let begun = tokio::time::Instant::now();
        let answers = side_by_side(&items, |item| {
            let item = *item;
            async move {
                tokio::time::sleep(Duration::from_secs(70 - item)).await;
                if item < 100 { Ok(item * 2) } else { Err(item) }
            }
        });
        assert_eq!(answers.await, Ok(items.iter().map(|item| item * 2).collect()));
        assert!(begun.elapsed() < Duration::from_secs(200));
        assert_eq!(side_by_side(&items, |item| std::future::ready(Err::<(), _>(*item))).await, Err(0));
    }
}
