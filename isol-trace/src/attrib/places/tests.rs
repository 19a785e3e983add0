use super::*;
use crate::event::{ids::Tid, user_stack::tests::own_stack};

const LONG: Duration = Duration::from_mins(1);

/// Answers every address with its number, `first` waiting for a word before.
fn numbering(go: Receiver<()>) -> Places {
    Places::start_with(16, Arc::default(), move |questions, answers| {
        for question in questions {
            if let Question::Place(key) = question {
                if go.recv().is_err() {
                    return;
                }
                let place = UserPlace {
                    location: Some(format!("at {}", key.1).into()),
                    ..UserPlace::default()
                };
                let _ = answers.send(Answer::Place(key, place));
            }
        }
    })
    .expect("a thread")
}

fn location(place: &UserPlace) -> Option<&str> {
    place.location.as_deref()
}

#[test]
fn with_patience_the_first_breach_has_its_place() {
    let (go, wait) = channel();
    let mut places = numbering(wait);
    places.set_patience(LONG);
    go.send(()).expect("a listener");
    assert_eq!(
        location(&places.place(Pid(1), Address(16))),
        Some("at 0x10")
    );
}

#[test]
fn without_patience_nothing_is_waited_for_and_later_breaches_have_it() {
    let (go, wait) = channel();
    let mut places = numbering(wait);
    for _ in 0..100 {
        assert_eq!(places.place(Pid(1), Address(16)), UserPlace::default());
    }
    assert_eq!(places.addresses.open.len(), 1, "asked once");
    go.send(()).expect("a listener");
    places.set_patience(LONG);
    assert_eq!(
        location(&places.place(Pid(1), Address(16))),
        Some("at 0x10")
    );
    places.set_patience(Duration::ZERO);
    assert_eq!(
        location(&places.place(Pid(1), Address(16))),
        Some("at 0x10")
    );
}

#[test]
fn patience_is_for_all_places_together() {
    let (_go, wait) = channel();
    let mut places = numbering(wait);
    places.set_patience(Duration::from_millis(5));
    for ip in 0..3 {
        places.place(Pid(1), Address(ip));
        assert!(places.patience.is_zero(), "used up by the first");
    }
}

#[test]
fn open_questions_are_bounded() {
    let (_go, wait) = channel();
    let mut places = numbering(wait);
    for ip in 0..10_000 {
        places.place(Pid(1), Address(ip));
    }
    assert_eq!(places.addresses.open.len(), OPEN);
}

#[test]
fn a_thread_that_is_gone_costs_places_and_nothing_else() {
    let (go, wait) = channel();
    let mut places = numbering(wait);
    drop(go);
    places.set_patience(LONG);
    assert_eq!(places.place(Pid(1), Address(16)), UserPlace::default());
    assert_eq!(places.place(Pid(1), Address(17)), UserPlace::default());
}

#[test]
fn a_process_that_executes_is_asked_for_again() {
    let (go, wait) = channel();
    let mut places = numbering(wait);
    places.set_patience(LONG);
    go.send(()).expect("a listener");
    places.place(Pid(1), Address(16));
    places.executed(Pid(1));
    places.set_patience(Duration::ZERO);
    assert_eq!(places.place(Pid(1), Address(16)), UserPlace::default());
}

/// The real thing: what a sender left is unwound at once, and named when it is asked for.
#[test]
fn this_process_has_stacks() {
    let mut places = Places::start(Path::new("/"), 16, 256 << 20).expect("a thread");
    let here = this_process_has_stacks as *const () as u64;
    let stack = own_stack(here, 0x7000_0000, 0, &[]);
    let key = stack.key;
    places.unwind(stack);
    places.set_patience(LONG);
    let words = places.stack(key);
    assert!(words[0].contains("this_process_has_stacks"), "{words:?}");
    assert_eq!(places.waiting.load(Ordering::Relaxed), 0, "it was taken");
}

/// The real thing, on this process.
#[test]
fn this_process_has_places() {
    let mut places = Places::start(Path::new("/"), 16, 64 << 20).expect("a thread");
    places.set_patience(LONG);
    let here = this_process_has_places as *const () as u64;
    let place = places.place(Pid(std::process::id()), Address(here));
    let name = location(&place)
        .expect("this binary has symbols")
        .to_owned();
    assert!(name.contains("this_process_has_places"), "{name}");
}

/// Puts stacks in words that tell whose they are, each waiting for a word before.
fn telling(go: Receiver<()>) -> Places {
    Places::start_with(16, Arc::default(), move |questions, answers| {
        for question in questions {
            if let Question::Stack(key) = question {
                if go.recv().is_err() {
                    return;
                }
                let words = [format!("of {}", key.tid).into()].into();
                let _ = answers.send(Answer::Stack(key, words));
            }
        }
    })
    .expect("a thread")
}

fn stack_of(tid: u32) -> CopiedStack {
    let mut stack = own_stack(16, 0, 0, &[]);
    stack.key.tid = Tid(tid);
    stack
}

#[test]
fn a_stack_is_there_when_its_breach_comes_later() {
    let (go, wait) = channel();
    let mut places = telling(wait);
    let (first, second) = (stack_of(1), stack_of(2));
    places.unwind(first.clone());
    places.unwind(second.clone());
    assert!(places.stack(first.key).is_empty(), "nobody waits for it");
    assert!(
        places.stack(first.key).is_empty(),
        "and it is asked for once"
    );
    go.send(()).expect("a listener");
    go.send(()).expect("a listener");
    places.set_patience(LONG);
    assert_eq!(&*places.stack(second.key)[0], "of 2");
    places.set_patience(Duration::ZERO);
    assert_eq!(&*places.stack(first.key)[0], "of 1");
    assert_eq!(
        &*places.stack(first.key)[0],
        "of 1",
        "as often as it is asked"
    );
}

#[test]
fn a_sender_without_a_stack_is_not_waited_for() {
    let (_go, wait) = channel();
    let mut places = telling(wait);
    places.set_patience(LONG);
    assert!(places.stack(stack_of(1).key).is_empty());
    assert_eq!(places.patience, LONG, "nothing was used up");
}

#[test]
fn stacks_that_wait_are_bounded_and_others_counted() {
    let (_go, wait) = channel();
    let mut places = telling(wait);
    for tid in 0..1100 {
        places.unwind(stack_of(tid));
    }
    assert_eq!(places.waiting.load(Ordering::Relaxed), OPEN_STACKS);
    assert_eq!(places.dropped_stacks(), 1100 - OPEN_STACKS as u64);
}

/// Names that take long do not hold up a stack that was left meanwhile.
#[test]
fn stacks_come_before_names() {
    let (asked, questions) = channel();
    let (answers, answered) = channel();
    let stack = own_stack(stacks_come_before_names as *const () as u64, 0, 0, &[]);
    let key = stack.key;
    // The name is asked for before there is anything to name.
    asked.send(Question::Stack(key)).expect("a listener");
    asked
        .send(Question::Unwind(Box::new(stack)))
        .expect("a listener");
    drop(asked);
    let mut symbols = UserSymbols::new(Path::new("/"), 256 << 20);
    answer(&mut symbols, &AtomicUsize::new(1), &questions, &answers);
    let Ok(Answer::Stack(_, words)) = answered.try_recv() else {
        panic!("no answer")
    };
    assert_eq!(words.len(), 1);
}
