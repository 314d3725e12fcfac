//! Finds what of a schedule is enough for a failure, by leaving parts of it out.

/// The shortest list found that still fails: halves are left out, then quarters, down to single ones, and again
/// for as long as something could be left out. `fails` is none when there is no time for another attempt.
pub(crate) fn shortest<T: Clone>(all: &[T], mut fails: impl FnMut(&[T]) -> Option<bool>) -> Vec<T> {
    let mut shortest = all.to_vec();
    let mut part = shortest.len().div_ceil(2);
    while part > 0 && !shortest.is_empty() {
        let mut begin = 0;
        let mut is_shorter = false;
        while begin < shortest.len() {
            let end = (begin + part).min(shortest.len());
            let rest = [&shortest[..begin], &shortest[end..]].concat();
            match fails(&rest) {
                None => return shortest,
                Some(true) => {
                    shortest = rest;
                    is_shorter = true;
                }
                Some(false) => begin = end,
            }
        }
        if part > 1 {
            part = part.div_ceil(2);
        } else if !is_shorter {
            break;
        }
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_stays_and_nothing_else_does() {
        let all: Vec<u32> = (0..57).collect();
        let mut attempts = 0;
        let found = shortest(&all, |some| {
            attempts += 1;
            Some(some.contains(&3) && some.contains(&41))
        });
        assert_eq!(found, [3, 41]);
        assert!(attempts < 100, "{attempts} attempts");
    }

    #[test]
    fn a_failure_that_needs_nothing_has_an_empty_schedule() {
        assert_eq!(shortest(&[1, 2, 3], |_| Some(true)), [0; 0]);
        assert_eq!(shortest(&[0; 0], |_| Some(true)), [0; 0]);
    }

    #[test]
    fn what_was_found_when_the_time_is_over_is_what_there_is() {
        let mut left = 1;
        let found = shortest(&[1, 2, 3, 4], |_| {
            left -= 1;
            (left >= 0).then_some(true)
        });
        assert_eq!(found, [3, 4]);
    }
}
