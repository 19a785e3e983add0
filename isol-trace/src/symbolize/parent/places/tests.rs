use super::*;
use crate::{
    event::{
        ids::{MonoNanos, Tid},
        user_stack::tests::own_stack,
    },
    symbolize::parent::symbolizer::tests::means,
};

const LONG: Duration = Duration::from_mins(1);

/// Answers every address with its number, `first` waiting for a word before.
fn numbering(go: Receiver<()>) -> Places {
    Places::start_with(16, Waiting::new(), move |questions, answers| {
        for question in questions {
            if let Question::Of(_, About::Place(key)) = question {
                if go.recv().is_err() {
                    return;
                }
                let place = UserPlace {
                    location: Some(format!("{} at {}", key.program, key.ip).into()),
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

/// What is known of a place, after as long as it takes.
fn found(places: &mut Places, pid: Pid, ip: Address) -> UserPlace {
    match places.place(pid, ip) {
        Known::Is(place) => place,
        Known::Later(key) => {
            places.wait(Some(key), &[], LONG);
            places.place_of(key)
        }
    }
}

/// By what a place that is not known yet will be known.
fn later(places: &mut Places, pid: Pid, ip: Address) -> PlaceKey {
    match places.place(pid, ip) {
        Known::Later(key) => key,
        Known::Is(place) => panic!("{place:?}"),
    }
}

#[test]
fn nothing_is_waited_for_and_what_is_asked_for_once_is_there_later() {
    let (go, wait) = channel();
    let mut places = numbering(wait);
    let key = later(&mut places, Pid(1), Address(16));
    for _ in 0..100 {
        assert_eq!(later(&mut places, Pid(1), Address(16)), key);
    }
    assert_eq!(places.addresses.open.len(), 1, "asked once");
    assert!(places.is_awaited(Some(key), &[]));
    assert_eq!(places.place_of(key), UserPlace::default());
    go.send(()).expect("a listener");
    places.wait(Some(key), &[], LONG);
    assert_eq!(location(&places.place_of(key)), Some("0 at 0x10"));
    assert!(!places.is_awaited(Some(key), &[]));
    assert!(matches!(
        places.place(Pid(1), Address(16)),
        Known::Is(place) if location(&place) == Some("0 at 0x10")
    ));
}

#[test]
fn whoever_waits_does_so_for_a_while_only() {
    let (_go, wait) = channel();
    let mut places = numbering(wait);
    let key = later(&mut places, Pid(1), Address(16));
    places.wait(Some(key), &[], Duration::from_millis(5));
    assert!(places.is_awaited(Some(key), &[]));
}

/// It may be another process's number by now.
#[test]
fn a_place_is_asked_for_again_after_a_while_and_the_old_answer_kept() {
    let (go, wait) = channel();
    let mut places = numbering(wait);
    places.addresses.good_for = Duration::ZERO;
    places.addresses.kept_for = LONG;
    go.send(()).expect("a listener");
    found(&mut places, Pid(1), Address(16));
    let key = later(&mut places, Pid(1), Address(16));
    assert!(places.is_awaited(Some(key), &[]));
    assert_eq!(location(&places.place_of(key)), Some("0 at 0x10"));
    go.send(()).expect("a listener");
    places.wait(Some(key), &[], LONG);
    assert!(!places.is_awaited(Some(key), &[]), "answered anew");
    places.addresses.kept_for = Duration::ZERO;
    assert_eq!(places.place_of(key), UserPlace::default(), "too old");
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
fn what_is_refused_is_open_no_more_and_may_be_asked_again() {
    let (_go, wait) = channel();
    let mut places = numbering(wait);
    let key = later(&mut places, Pid(1), Address(16));
    places.take(Answer::Refused(About::Place(key)));
    assert!(places.addresses.open.is_empty() && places.addresses.shares.all() == 0);
    let again = later(&mut places, Pid(1), Address(16));
    assert!(places.is_awaited(Some(again), &[]));
}

/// The reader asks about processes of whom it does not know whose they are: the symbols' thread does.
#[test]
fn of_one_user_no_more_waits_than_three_times_what_may_be_open() {
    let mut symbols = UserSymbols::of_tests(Path::new("/"));
    let waiting = Waiting::new();
    let mut work = Work::new(&mut symbols, &waiting);
    let pid = Pid(std::process::id());
    let key = |ip| PlaceKey {
        pid,
        program: 0,
        ip: Address(ip),
    };
    for ip in 0..3 * OPEN as u64 {
        let [_, refused] = work.put(Question::Of(pid, About::Place(key(ip))));
        assert!(refused.is_none());
    }
    let [_, refused] = work.put(Question::Of(pid, About::Place(key(0))));
    assert!(matches!(refused, Some(Answer::Refused(About::Place(_)))));
    for tid in 0..=3 * OPEN_STACKS {
        let mut stack = own_stack(16, 0, 0, &[]);
        stack.key.tid = Tid(u32::try_from(tid).expect("few"));
        work.put(Question::Unwind(Box::new(stack)));
    }
    assert_eq!(waiting.dropped(), 1);
}

/// However much the processes of one user ask, others may ask too, and they may ask as much as it when there are answers.
#[test]
fn open_questions_are_shared_among_users() {
    let (go, wait) = channel();
    let mut places = numbering(wait);
    for pid in 1000..3000 {
        for ip in 0..10 {
            places.place(Pid(pid), Address(ip));
        }
    }
    for pid in 1000..3000 {
        places.take(Answer::Payer(Pid(pid), Payer::User(8)));
    }
    let of_stranger = places.addresses.open.len();
    assert!(of_stranger > 2 * OPEN);
    places.take(Answer::Payer(Pid(1), Payer::User(7)));
    for ip in 0..10_000 {
        places.place(Pid(1), Address(ip));
    }
    assert_eq!(places.addresses.shares.of(Pid(1)), OPEN / 2);
    let all = places.addresses.open.len();
    assert_eq!(all, of_stranger + OPEN / 2);
    for _ in 0..all {
        go.send(()).expect("a listener");
    }
    while !places.addresses.open.is_empty() {
        let &key = places.addresses.open.keys().next().expect("one");
        places.wait(Some(key), &[], LONG);
    }
    assert_eq!(places.addresses.shares.all(), 0, "all were answered");
}

/// What a stranger's processes leave and ask goes before what is remembered of others.
#[test]
fn what_is_remembered_is_shared_among_users() {
    let (_go, wait) = channel();
    let mut places = telling(wait);
    let (owner, stranger) = (Payer::User(7), Payer::User(8));
    let mut given = |pid, count: u64, payer| {
        places.waiting.lock().belongs(Pid(pid), payer);
        places.take(Answer::Payer(Pid(pid), payer));
        let mut last = None;
        for at in 0..count {
            let mut stack = own_stack(16, 0, 0, &[]);
            stack.pid = Pid(pid);
            stack.key.tid = Tid(pid);
            stack.key.at = MonoNanos(at);
            let key = stack.key;
            places.unwind(stack);
            places.waiting.take(Pid(pid));
            if let Known::Later(_) = places.stack(key) {
                let words = [format!("of {pid}").into()].into();
                places.take(Answer::Stack(key, words));
            }
            last = Some(key);
        }
        last.expect("one at least")
    };
    let armed = given(1, 1, owner);
    given(2, 3 * STACKS as u64, stranger);
    assert!(places.stacks.known.len() <= STACKS && places.given.len() <= STACKS);
    let Known::Is(words) = places.stack(armed) else {
        panic!("it is asked for as long as its timer is armed")
    };
    assert_eq!(&*words[0], "of 1");
}

/// Each process is told of before its questions are answered.
#[test]
fn whose_a_process_is_is_told() {
    let (asked, questions) = channel();
    let (answers, answered) = channel();
    let own = Pid(std::process::id());
    let key = PlaceKey {
        pid: own,
        program: 0,
        ip: Address(8),
    };
    let question = Question::Of(own, About::Place(key));
    asked.send(question).expect("a listener");
    drop(asked);
    let mut symbols = UserSymbols::of_tests(Path::new("/"));
    let waiting = Waiting::new();
    answer(&mut symbols, &waiting, &questions, &answers);
    let user = Payer::User(rustix::process::geteuid().as_raw());
    assert!(
        matches!(answered.try_recv(), Ok(Answer::Payer(pid, payer)) if pid == own && payer == user)
    );
    assert!(matches!(answered.try_recv(), Ok(Answer::Place(..))));
}

#[test]
fn a_thread_that_is_gone_costs_places_and_nothing_else() {
    let (go, wait) = channel();
    let mut places = numbering(wait);
    let key = later(&mut places, Pid(1), Address(15));
    drop(go);
    places.wait(Some(key), &[], LONG);
    assert!(!places.is_awaited(Some(key), &[]), "nobody will answer");
    for ip in [15, 16, 17] {
        assert_eq!(
            found(&mut places, Pid(1), Address(ip)),
            UserPlace::default()
        );
    }
}

#[test]
fn a_process_that_executes_is_asked_for_again() {
    let (go, wait) = channel();
    let mut places = numbering(wait);
    go.send(()).expect("a listener");
    found(&mut places, Pid(1), Address(16));
    // One that still waits for its name was in the program before.
    let before = later(&mut places, Pid(1), Address(17));
    places.executed(Pid(1));
    let after = later(&mut places, Pid(1), Address(17));
    let again = later(&mut places, Pid(1), Address(16));
    assert_eq!(places.place_of(again), UserPlace::default());
    for _ in 0..3 {
        go.send(()).expect("a listener");
    }
    places.wait(Some(before), &[], LONG);
    places.wait(Some(after), &[], LONG);
    assert_eq!(location(&places.place_of(before)), Some("0 at 0x11"));
    assert_eq!(location(&places.place_of(after)), Some("1 at 0x11"));
    assert_eq!(
        location(&found(&mut places, Pid(1), Address(16))),
        Some("1 at 0x10")
    );
}

/// The real thing: what a sender left is unwound at once, and named when it is asked for.
#[test]
fn this_process_has_stacks() {
    let mut places = Places::start(Path::new("/"), 16, means(), None).expect("a thread");
    let here = this_process_has_stacks as *const () as u64;
    let stack = own_stack(here, 0x7000_0000, 0, &[]);
    let key = stack.key;
    places.unwind(stack);
    let words = told(&mut places, key);
    assert!(words[0].contains("this_process_has_stacks"), "{words:?}");
    assert_eq!(places.waiting.lock().all(), 0, "it was taken");
}

/// The real thing, on this process.
#[test]
fn this_process_has_places() {
    let mut places = Places::start(Path::new("/"), 16, means(), None).expect("a thread");
    let here = this_process_has_places as *const () as u64;
    let place = found(&mut places, Pid(std::process::id()), Address(here));
    let name = location(&place)
        .expect("this binary has symbols")
        .to_owned();
    assert!(name.contains("this_process_has_places"), "{name}");
}

/// Puts stacks in words that tell whose they are, each waiting for a word before.
fn telling(go: Receiver<()>) -> Places {
    Places::start_with(16, Waiting::new(), move |questions, answers| {
        for question in questions {
            if let Question::Of(_, About::Stack(key)) = question {
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

/// The words for a stack, after as long as it takes.
fn told(places: &mut Places, key: StackKey) -> Words {
    match places.stack(key) {
        Known::Is(words) => words,
        Known::Later(key) => {
            places.wait(None, &[key], LONG);
            places.stack_of(key)
        }
    }
}

#[test]
fn a_stack_is_there_when_its_breach_comes_later() {
    let (go, wait) = channel();
    let mut places = telling(wait);
    let (first, second) = (stack_of(1), stack_of(2));
    places.unwind(first.clone());
    places.unwind(second.clone());
    for _ in 0..2 {
        assert_eq!(places.stack(first.key), Known::Later(first.key));
    }
    assert!(places.is_awaited(None, &[first.key]));
    assert_eq!(places.stacks.open.len(), 1, "it is asked for once");
    go.send(()).expect("a listener");
    go.send(()).expect("a listener");
    assert_eq!(&*told(&mut places, second.key)[0], "of 2");
    for _ in 0..2 {
        let Known::Is(words) = places.stack(first.key) else {
            panic!("it is known, as often as it is asked")
        };
        assert_eq!(&*words[0], "of 1");
    }
}

#[test]
fn a_sender_without_a_stack_is_not_waited_for() {
    let (_go, wait) = channel();
    let mut places = telling(wait);
    assert_eq!(places.stack(stack_of(1).key), Known::Is(Words::default()));
}

#[test]
fn stacks_that_wait_are_bounded_and_others_counted() {
    let (_go, wait) = channel();
    let mut places = telling(wait);
    for tid in 0..1100 {
        places.unwind(stack_of(tid));
    }
    assert_eq!(places.waiting.lock().all(), OPEN_STACKS);
    assert_eq!(places.dropped_stacks(), 1100 - OPEN_STACKS as u64);
    // Another process has its share all the same.
    let mut other = stack_of(1);
    other.pid = Pid(other.pid.0 + 1);
    let pid = other.pid;
    places.unwind(other);
    assert_eq!(places.waiting.lock().of(pid), 1);
}

/// Names that take long do not hold up a stack that was left meanwhile.
#[test]
fn stacks_come_before_names() {
    let (asked, questions) = channel();
    let (answers, answered) = channel();
    let stack = own_stack(stacks_come_before_names as *const () as u64, 0, 0, &[]);
    let (key, pid) = (stack.key, stack.pid);
    let waiting = Waiting::new();
    assert!(waiting.add(stack.pid));
    // The name is asked for before there is anything to name.
    asked
        .send(Question::Of(stack.pid, About::Stack(key)))
        .expect("a listener");
    asked
        .send(Question::Unwind(Box::new(stack)))
        .expect("a listener");
    drop(asked);
    let mut symbols = UserSymbols::of_tests(Path::new("/"));
    answer(&mut symbols, &waiting, &questions, &answers);
    let words = answered.try_iter().find_map(|answer| match answer {
        Answer::Stack(_, words) => Some(words),
        _ => None,
    });
    assert_eq!(words.expect("an answer").len(), 1);
    assert_ne!(waiting.payer(pid), Payer::Unknown);
}

/// Whoever leaves stacks without end does not keep others' names from being found.
#[test]
fn names_have_their_time_while_stacks_come_without_end() {
    let here = names_have_their_time_while_stacks_come_without_end as *const () as u64;
    let mut symbols = UserSymbols::of_tests(Path::new("/"));
    let waiting = Waiting::new();
    let mut work = Work::new(&mut symbols, &waiting);
    for tid in 0..5000 {
        let mut stack = own_stack(here, 0, 0, &[]);
        stack.key.tid = Tid(tid);
        work.put(Question::Unwind(Box::new(stack)));
    }
    let pid = Pid(std::process::id());
    let key = PlaceKey {
        pid,
        program: 0,
        ip: Address(here),
    };
    work.put(Question::Of(pid, About::Place(key)));
    assert!(work.turn().is_none(), "a stack comes first");
    let answer = std::iter::from_fn(|| (!work.is_empty()).then(|| work.turn()));
    let answer = answer.flatten().next();
    assert!(matches!(answer, Some(Answer::Place(..))));
    assert!(!work.stacks.is_empty(), "not behind all of them");
}

/// What a program left is unwound with its own code, however long it waits.
#[test]
fn stacks_come_before_the_next_program_of_their_process() {
    let mut symbols = UserSymbols::of_tests(Path::new("/"));
    let waiting = Waiting::new();
    let mut work = Work::new(&mut symbols, &waiting);
    let stack = own_stack(16, 0, 0, &[]);
    let pid = stack.pid;
    work.put(Question::Unwind(Box::new(stack)));
    work.answer_about(pid, &About::Executed);
    assert!(work.stacks.is_empty());
}
