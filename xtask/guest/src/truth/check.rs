//! Matches the breaches of a window against what was expected of it: once each, nothing else.

use super::{
    expect::{Count, Expect},
    log::Breach,
};

/// What is wrong with a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Breaches that were expected and are not there, one sentence each.
    pub missing: Vec<String>,
    /// Breaches that nobody expected, one sentence each.
    pub stray: Vec<String>,
    /// A stray breach is of a kind that the kernel does not cause on its own.
    pub triggered: bool,
}

/// Causes that a kernel has now and then without anybody's doing.
const KERNELS_OWN: &[&str] = &[
    "local_timer",
    "irq_work",
    "reschedule",
    "call_function",
    "call_function_single",
];

/// What is wrong with a window: nothing, or one sentence each.
#[must_use]
pub fn window(expected: &[Expect], breaches: &[&Breach], actor: u32) -> Problems {
    let slots: Vec<&Expect> = expected
        .iter()
        .flat_map(|expect| match expect.count {
            Count::Exactly(count) => std::iter::repeat_n(expect, count),
            Count::Any => std::iter::repeat_n(expect, 0),
        })
        .collect();
    let fits = |slot: &Expect, breach: &Breach| slot.differences(breach, actor).is_empty();
    let mut holder: Vec<Option<usize>> = vec![None; slots.len()];
    for (index, _) in breaches.iter().enumerate() {
        let mut tried = vec![false; slots.len()];
        place(index, breaches, &slots, &mut holder, &mut tried, &fits);
    }
    let mut problems = Problems::default();
    let placed = |index: usize| holder.contains(&Some(index));
    let stray: Vec<usize> = (0..breaches.len())
        .filter(|&index| !placed(index))
        .filter(|&index| {
            !expected
                .iter()
                .any(|expect| expect.count == Count::Any && fits(expect, breaches[index]))
        })
        .collect();
    for (slot, _) in slots
        .iter()
        .zip(&holder)
        .filter(|(_, holder)| holder.is_none())
    {
        let near = stray
            .iter()
            .map(|&index| breaches[index])
            .find(|breach| slot.is_kind(breach))
            .map(|breach| {
                let differences = slot.differences(breach, actor);
                if differences.is_empty() {
                    String::new()
                } else {
                    format!(
                        " (breach {} differs: {})",
                        breach.seq,
                        differences.join("; ")
                    )
                }
            });
        problems.missing.push(format!(
            "no breach for: {}{}",
            slot.describe(),
            near.unwrap_or_default()
        ));
    }
    for index in stray {
        let breach = breaches[index];
        problems.triggered |= !KERNELS_OWN.contains(&breach.cause.kind.as_str());
        problems.stray.push(format!(
            "nobody expected breach {}: {} {} of thread {}",
            breach.seq,
            breach.cause.kind,
            breach.cause.name.as_deref().unwrap_or("-"),
            breach.task.tid
        ));
    }
    problems
}

/// Finds breach `index` a slot, moving others where that helps (Kuhn's bipartite matching).
fn place(
    index: usize,
    breaches: &[&Breach],
    slots: &[&Expect],
    holder: &mut [Option<usize>],
    tried: &mut [bool],
    fits: &impl Fn(&Expect, &Breach) -> bool,
) -> bool {
    for slot in 0..slots.len() {
        if tried[slot] || !fits(slots[slot], breaches[index]) {
            continue;
        }
        tried[slot] = true;
        let free = match holder[slot] {
            None => true,
            Some(other) => place(other, breaches, slots, holder, tried, fits),
        };
        if free {
            holder[slot] = Some(index);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            expect::{Who, one, one_of, syscall},
            log::Line,
        },
        *,
    };

    /// How much is wrong.
    fn window(expected: &[Expect], breaches: &[&Breach], actor: u32) -> Vec<String> {
        let problems = super::window(expected, breaches, actor);
        [problems.missing, problems.stray].concat()
    }

    #[test]
    fn noise_is_told_from_what_was_triggered() {
        let (a, b) = (getppid(1), call(2));
        let problems = super::window(&[syscall(110, "getppid")], &[&a, &b], 7);
        assert!(problems.missing.is_empty() && !problems.triggered);
        let problems = super::window(&[one("call_function_single")], &[&a, &b], 7);
        assert!(problems.triggered, "a system call is nobody else's");
    }

    fn breach(text: &str) -> Breach {
        let text = format!(r#"{{"type":"breach","mono_ns":1,"cpu":1,"end":"return",{text}}}"#);
        let Line::Breach(breach) = Line::parse(&text).unwrap() else {
            panic!("a breach");
        };
        *breach
    }

    fn getppid(seq: u64) -> Breach {
        breach(&format!(
            r#""seq":{seq},"task":{{"tid":7}},"cause":{{"kind":"syscall","nr":110,"name":"getppid"}},"origins":[{{"kind":"task"}}]"#
        ))
    }

    fn call(seq: u64) -> Breach {
        breach(&format!(
            r#""seq":{seq},"task":{{"tid":7}},"cause":{{"kind":"call_function_single"}},"activity":[{{"kind":"csd","name":"ipi_mb"}}]"#
        ))
    }

    #[test]
    fn once_each_and_nothing_else() {
        let expected = [
            syscall(110, "getppid").end("return"),
            one("call_function_single").does("csd", &["ipi_mb"]),
        ];
        let (a, b) = (getppid(1), call(2));
        assert!(window(&expected, &[&a, &b], 7).is_empty());
        assert!(window(&expected, &[&b, &a], 7).is_empty(), "any order");
        assert_eq!(window(&expected, &[&a], 7).len(), 1, "one is missing");
        assert_eq!(window(&expected, &[&a, &b, &a], 7).len(), 1, "one too many");
        assert_eq!(window(&expected, &[], 7).len(), 2);
    }

    #[test]
    fn every_field_that_was_asked_for_counts() {
        let a = getppid(1);
        let wrong = [
            syscall(39, "getppid"),
            syscall(110, "getpid"),
            syscall(110, "getppid").end("switched"),
            syscall(110, "getppid").idled(),
            syscall(110, "getppid").of(Who::Thread(8)),
            syscall(110, "getppid").does("signal", &[]),
            syscall(110, "getppid").never_named("getppid"),
            syscall(110, "getppid").irq(4),
            one("call_function_single").empty(),
            one("call_function_single").remedy("membarrier"),
            syscall(110, "getppid").fault(0x1000, true),
            one("page_fault"),
            one("syscall").origin("remote"),
        ];
        for expect in wrong {
            let c = call(2);
            let breach = if expect.is_kind(&c) { &c } else { &a };
            assert!(
                !window(std::slice::from_ref(&expect), &[breach], 7).is_empty(),
                "{expect:?} must not fit"
            );
        }
        assert!(!window(&[syscall(110, "getppid")], &[&a], 6).is_empty());
    }

    #[test]
    fn a_greedy_choice_is_taken_back() {
        let expected = [one_of(&["syscall", "call_function_single"]), one("syscall")];
        let (a, b) = (getppid(1), call(2));
        assert!(window(&expected, &[&a, &b], 7).is_empty());
        assert!(window(&expected, &[&b, &a], 7).is_empty());
    }

    #[test]
    fn what_may_come_is_no_must() {
        let expected = [
            syscall(110, "getppid"),
            one("call_function_single").any_number(),
        ];
        let (a, b, c) = (getppid(1), call(2), call(3));
        assert!(window(&expected, &[&a], 7).is_empty());
        assert!(window(&expected, &[&b, &a, &c], 7).is_empty());
        assert_eq!(window(&expected, &[&b, &c], 7).len(), 1);
    }

    #[test]
    fn a_fault_is_known_by_its_page() {
        let fault = breach(
            r#""seq":1,"task":{"tid":7},"cause":{"kind":"page_fault","address":"0x7f0000001010","write":true,"user":true}"#,
        );
        let at = |page, write| window(&[one("page_fault").fault(page, write)], &[&fault], 7);
        assert!(at(0x7f00_0000_1000, true).is_empty());
        assert!(!at(0x7f00_0000_2000, true).is_empty());
        assert!(!at(0x7f00_0000_1000, false).is_empty());
    }
}
