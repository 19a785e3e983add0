use proptest::prelude::*;

use super::*;
use crate::{
    event::ids::Address,
    symbolize::{
        mappings::space::{Beginning, MAPPINGS},
        shared::maps::{Backing, FileNumber, Mapping, UserMaps},
    },
};

const PAGE: u64 = 0x1000;

fn file(start: u64, pages: u64, inode: u64) -> Mapping {
    let file = FileNumber {
        device: (0, 0),
        inode,
    };
    Mapping::recorded(start * PAGE, pages * PAGE, 0, file, b"/lib/x.so")
}

fn anonymous(start: u64) -> Mapping {
    let none = FileNumber {
        device: (0, 0),
        inode: 0,
    };
    Mapping::recorded(start * PAGE, PAGE, start * PAGE, none, b"//anon")
}

fn map(pid: u32, mapping: Mapping) -> Act {
    let pid = Pid(pid);
    Act::Map { pid, mapping }
}

fn fork(parent: u32, pid: u32) -> Act {
    let (pid, parent) = (Pid(pid), Pid(parent));
    Act::Fork { pid, parent }
}

const fn exec(pid: u32) -> Act {
    Act::Exec { pid: Pid(pid) }
}

const fn exit(pid: u32) -> Act {
    Act::Exit { pid: Pid(pid) }
}

fn happen(spaces: &mut Spaces, acts: impl IntoIterator<Item = Act>) {
    for (at, act) in (1..).zip(acts) {
        spaces.apply(MonoNanos(at), act);
    }
}

fn after(acts: impl IntoIterator<Item = Act>) -> Spaces {
    let mut spaces = Spaces::new(Room::default());
    happen(&mut spaces, acts);
    spaces
}

/// The code of a process, as far as it was recorded.
fn code(spaces: &Spaces, pid: u32) -> UserMaps {
    let none = || UserMaps::of(Vec::new());
    let space = spaces.get(Pid(pid));
    space
        .and_then(|space| space.code.since(MonoNanos(0), &none()))
        .unwrap_or_else(none)
}

/// The file on a page, and the page in it.
fn found(maps: &UserMaps, page: u64) -> Option<(u64, u64)> {
    let address = Address(page * PAGE + 8);
    let mapping = maps.find(address)?;
    let Backing::File { file, .. } = mapping.backing else {
        return None;
    };
    Some((file.inode, mapping.file_offset(address) / PAGE))
}

#[test]
fn a_child_has_its_parents_code_until_it_executes() {
    let mut spaces = after([exec(1), map(1, file(1, 4, 11)), fork(1, 2)]);
    assert_eq!(found(&code(&spaces, 2), 2), Some((11, 1)));
    assert_eq!(spaces.base(Pid(2)), None, "all is recorded");
    happen(&mut spaces, [map(2, file(8, 1, 12))]);
    assert_eq!(found(&code(&spaces, 1), 8), None, "the parent has not");
    happen(&mut spaces, [exec(2), map(2, file(1, 1, 13))]);
    assert_eq!(found(&code(&spaces, 2), 1), Some((13, 0)));
    assert_eq!(found(&code(&spaces, 2), 2), None);
    assert_eq!(found(&code(&spaces, 1), 2), Some((11, 1)));
}

#[test]
fn what_was_there_before_is_the_parents_as_long_as_it_has_it() {
    // 1 was there before; 2 is its child, and 3 that one's.
    let mut spaces = after([fork(1, 2), map(2, file(1, 1, 11)), fork(2, 3)]);
    assert_eq!(spaces.base(Pid(2)), Some(Pid(1)));
    assert_eq!(spaces.base(Pid(3)), Some(Pid(1)));
    assert_eq!(found(&code(&spaces, 3), 1), Some((11, 0)));
    spaces.apply(MonoNanos(9), exec(1));
    assert_eq!(spaces.base(Pid(3)), None, "it has other code now");
    assert_eq!(spaces.base(Pid(1)), None);
    let own = after([map(1, file(1, 1, 11)), fork(1, 2)]);
    assert_eq!(own.base(Pid(1)), None, "it has its own");
    assert_eq!(own.base(Pid(2)), Some(Pid(1)));
    assert_eq!(own.get(Pid(1)).expect("known").since, MonoNanos(0));
    assert_eq!(own.get(Pid(2)).expect("known").since, MonoNanos(2));
}

#[test]
fn only_what_came_later_is_added_to_maps_that_were_read() {
    let spaces = after([
        map(1, file(1, 4, 11)),
        map(1, file(8, 4, 12)),
        map(1, file(10, 4, 13)),
    ]);
    let read = UserMaps::of(vec![file(1, 1, 21), file(8, 8, 22)]);
    let space = spaces.get(Pid(1)).expect("known");
    let maps = space.code.since(MonoNanos(2), &read).expect("one is later");
    assert_eq!(found(&maps, 1), Some((21, 0)));
    assert_eq!(found(&maps, 2), None, "unmapped before it was read");
    assert_eq!(found(&maps, 9), Some((22, 1)));
    assert_eq!(found(&maps, 10), Some((13, 0)));
    assert_eq!(found(&maps, 14), Some((22, 6)));
    assert!(space.code.since(MonoNanos(3), &read).is_none());
}

#[test]
fn after_a_loss_what_was_known_is_in_doubt() {
    let doubt = |spaces: &Spaces, pid| {
        let doubt = spaces.get(Pid(pid)).expect("known").doubt?;
        Some((doubt.since.0, doubt.until.0))
    };
    let lost = |since| Act::Lost {
        records: 3,
        since: MonoNanos(since),
    };
    let begun = [exec(1), map(1, file(1, 1, 11)), exec(2), fork(9, 4)];
    let mut spaces = after(begun);
    assert_eq!(spaces.base(Pid(4)), Some(Pid(9)));
    spaces.apply(MonoNanos(30), lost(20));
    assert_eq!(doubt(&spaces, 1), Some((20, 30)));
    assert_eq!(spaces.base(Pid(4)), None, "9 may be another program");
    let later = [map(1, file(5, 1, 12)), exec(2), fork(1, 3)];
    for (at, act) in (31..).zip(later) {
        spaces.apply(MonoNanos(at), act);
    }
    assert_eq!(found(&code(&spaces, 1), 1), Some((11, 0)));
    assert_eq!(found(&code(&spaces, 1), 5), Some((12, 0)));
    assert_eq!(doubt(&spaces, 2), None, "its program began since");
    assert_eq!(doubt(&spaces, 3), Some((20, 30)), "as its parent");
    spaces.apply(MonoNanos(40), lost(10));
    assert_eq!(doubt(&spaces, 1), Some((10, 40)));
    assert_eq!(spaces.lost(), 6);
}

#[test]
fn code_is_known_again_by_where_its_program_began() {
    let vdso = |start: u64| {
        let none = FileNumber {
            device: (0, 0),
            inode: 0,
        };
        Mapping::recorded(start * PAGE, PAGE, 0, none, b"[vdso]")
    };
    let spaces = after([exec(1), map(1, file(4, 2, 11)), map(1, vdso(90))]);
    let is = |vdso: u64, entry: u64, program: &str, at| {
        let beginning = Beginning {
            vdso: vdso * PAGE,
            entry: entry * PAGE,
            program: program.into(),
        };
        let space = spaces.get(Pid(1)).expect("known");
        space.code.is_of(&beginning, MonoNanos(at))
    };
    assert!(is(90, 5, "x.so", 3));
    assert!(!is(90, 5, "x.so", 2), "the vDSO came later");
    assert!(!is(91, 5, "x.so", 3), "another one");
    assert!(!is(90, 6, "x.so", 3), "no code");
    assert!(!is(90, 5, "y.so", 3), "another program's");
}

#[test]
fn a_compiler_does_not_drive_out_the_program() {
    let program = [exec(1), map(1, file(1, 1, 11))];
    let compiled = (0..2 * MAPPINGS as u64).map(|at| map(1, anonymous(10 + 2 * at)));
    let library = [map(1, file(4, 2, 12))];
    let spaces = after(program.into_iter().chain(compiled).chain(library));
    let maps = code(&spaces, 1);
    assert_eq!(maps.all().len(), MAPPINGS);
    assert_eq!(found(&maps, 1), Some((11, 0)));
    assert_eq!(found(&maps, 5), Some((12, 1)));
}

#[test]
fn those_that_have_just_ended_stay_and_memory_is_bounded() {
    let room = Room {
        processes: 100,
        ended: 10,
        bytes: 1 << 20,
    };
    let mut spaces = Spaces::new(room);
    for pid in 2..1000 {
        let keeps_running = pid % 2 == 0;
        let life = [fork(1, pid), exec(pid), map(pid, file(1, 1, pid.into()))];
        happen(&mut spaces, life);
        if !keeps_running {
            happen(&mut spaces, [exit(pid), exit(pid)]);
            let last_ten = (3..=pid).rev().step_by(2).take(10);
            for ended in last_ten {
                assert!(spaces.get(Pid(ended)).is_some(), "{ended} of {pid}");
            }
        }
        assert!(spaces.all.len() <= room.processes);
        let ended = spaces.all.values().filter(|kept| kept.has_ended);
        assert_eq!(ended.count(), spaces.ended.len());
    }
    let tight = Room {
        bytes: 1000,
        ..room
    };
    let mut spaces = Spaces::new(tight);
    for pid in 2..1000 {
        happen(&mut spaces, [exec(pid), map(pid, file(1, 1, 7))]);
        assert!(spaces.held.bytes() <= tight.bytes);
    }
    assert!(!spaces.all.is_empty());
}

fn read(pid: u32, code: Vec<Mapping>) -> Act {
    let pid = Pid(pid);
    Act::Read { pid, code }
}

/// A page of a file with a path as long as it may be.
fn long(start: u64, inode: u64) -> Mapping {
    let file = FileNumber {
        device: (0, 0),
        inode,
    };
    let path = format!("/{inode:03700}");
    Mapping::recorded(start * PAGE, PAGE, 0, file, path.as_bytes())
}

/// The daemons that were there first.
const DAEMONS: std::ops::Range<u32> = 1..20;
/// A stranger's shell, which was there too, and its children.
const SHELL: u32 = 100;

fn with_daemons() -> Spaces {
    let daemon = |pid| read(pid, vec![file(1, 4, pid.into()), file(8, 1, 9)]);
    after(DAEMONS.chain([SHELL]).map(daemon))
}

fn daemons_are_known(spaces: &Spaces) {
    for pid in DAEMONS {
        assert_eq!(found(&code(spaces, pid), 2), Some((pid.into(), 1)), "{pid}");
    }
}

#[test]
fn what_is_shared_is_counted_once() {
    let mut spaces = with_daemons();
    let before = spaces.held.bytes();
    happen(
        &mut spaces,
        (0..1000).map(|at| map(SHELL, long(10 + 2 * at, 7))),
    );
    happen(&mut spaces, (1..7).map(|child| fork(SHELL, SHELL + child)));
    let more = spaces.held.bytes() - before;
    assert!(more < 1000 * 100 + 4000, "{more}");
    assert_eq!(spaces.forgotten(), 0);
    let last = [map(SHELL, anonymous(10)), map(SHELL, file(11, 4000, 8))];
    happen(&mut spaces, last);
    let own = &spaces.get(Pid(SHELL)).expect("known").code;
    assert!(
        own.bytes() < 1000,
        "the path went with the last that had it"
    );
    // One for all that was read, too.
    let all: Vec<_> = (0..1000).map(|at| long(10 + 2 * at, 7)).collect();
    assert!(Code::exactly(MonoNanos(1), all).bytes() < 1000 * 100 + 4000);
}

#[test]
fn who_maps_the_most_is_forgotten_first() {
    let mut spaces = with_daemons();
    for child in 1..30 {
        let pid = SHELL + child;
        happen(&mut spaces, [fork(SHELL, pid)]);
        happen(
            &mut spaces,
            (0..1000).map(|at| map(pid, long(10 + 2 * at, at))),
        );
        assert!(spaces.held.bytes() <= spaces.room.bytes);
    }
    daemons_are_known(&spaces);
    assert!(spaces.get(Pid(SHELL)).is_some(), "it has mapped little");
    assert!(spaces.forgotten() > 0);
}

#[test]
fn who_starts_the_most_is_forgotten_first() {
    let mut spaces = with_daemons();
    let children = || (1..2 * 4096).map(|child| SHELL + child);
    for pid in children() {
        let life = [fork(SHELL, pid), exec(pid), map(pid, file(1, 1, 7))];
        happen(&mut spaces, life);
    }
    daemons_are_known(&spaces);
    assert!(
        spaces.get(Pid(SHELL)).is_some(),
        "it began before its children"
    );
    assert!(spaces.forgotten() > 0);
    // Those that were forgotten are seen again, nobody knows whose they are.
    for _ in 0..2 {
        for pid in children() {
            happen(
                &mut spaces,
                [map(pid, file(2, 1, 8)), fork(pid, pid + 100_000)],
            );
        }
    }
    daemons_are_known(&spaces);
    // A daemon starts a helper meanwhile.
    happen(&mut spaces, [fork(1, 50), exec(50), map(50, file(1, 1, 8))]);
    for pid in children() {
        happen(&mut spaces, [fork(pid, pid + 200_000)]);
    }
    assert!(spaces.get(Pid(50)).is_some());
}

#[test]
fn programs_that_ended_long_ago_are_forgotten_without_a_word() {
    let mut spaces = with_daemons();
    for pid in 200..10_000 {
        happen(&mut spaces, [fork(SHELL, pid), exec(pid), exit(pid)]);
    }
    daemons_are_known(&spaces);
    assert_eq!(spaces.forgotten(), 0);
    assert!(spaces.get(Pid(SHELL)).is_some());
}

#[test]
fn of_very_many_mappings_those_without_a_name_are_left_out() {
    let compiled = (0..2 * MAPPINGS as u64).map(|at| anonymous(10 + 2 * at));
    let vdso = file(10_000, 1, 5);
    let spaces = after([read(1, compiled.chain([vdso]).collect())]);
    let maps = code(&spaces, 1);
    assert_eq!(maps.all().len(), MAPPINGS);
    assert_eq!(found(&maps, 10_000), Some((5, 0)));
}

/// What processes do, in numbers small enough to collide.
fn acts() -> impl Strategy<Value = Vec<Act>> {
    let pid = || 1_u32..5;
    let act = prop_oneof![
        6 => (pid(), 0_u64..16, 0_u64..6, 1_u64..9)
            .prop_map(|(pid, start, pages, inode)| map(pid, file(start, pages, inode))),
        2 => (pid(), pid())
            .prop_filter("another", |(pid, parent)| pid != parent)
            .prop_map(|(pid, parent)| fork(parent, pid)),
        1 => pid().prop_map(exec),
        1 => pid().prop_map(exit),
    ];
    proptest::collection::vec(act, 0..40)
}

/// File and page of each of the first pages.
type Pages = [Option<(u64, u64)>; 24];

/// What was read before a trace, and what is recorded on top of it, before and after.
#[test]
fn what_was_read_is_all_there_was() {
    let mut spaces = Spaces::new(Room::default());
    let pid = Pid(7);
    let map = |page, inode| Act::Map {
        pid,
        mapping: file(page, 1, inode),
    };
    spaces.apply(MonoNanos(5), map(1, 1));
    let code = vec![file(2, 1, 2), file(3, 1, 3)];
    spaces.apply(MonoNanos(6), Act::Read { pid, code });
    spaces.apply(MonoNanos(7), map(3, 4));
    let space = spaces.get(pid).expect("it is known");
    assert_eq!((space.since, space.base.is_none()), (MonoNanos(0), true));
    let maps = space
        .code
        .since(MonoNanos(0), &UserMaps::of(Vec::new()))
        .expect("code");
    let inode = |page: u64| match maps.find(Address(page * PAGE))?.backing {
        Backing::File { file, .. } => Some(file.inode),
        _ => None,
    };
    assert_eq!([1, 2, 3].map(inode), [None, Some(2), Some(4)]);
    // A child has a copy of all that.
    let child = Pid(8);
    spaces.apply(
        MonoNanos(8),
        Act::Fork {
            pid: child,
            parent: pid,
        },
    );
    let space = spaces.get(child).expect("it is known");
    assert_eq!((space.since, space.base.is_none()), (MonoNanos(8), true));
    assert_eq!(spaces.base(child), None);
    spaces.apply(MonoNanos(9), Act::Exec { pid });
    assert!(spaces.get(pid).expect("it is known").since == MonoNanos(9));
}

proptest! {
    /// Page by page the same as a table that is written page by page.
    #[test]
    fn the_last_mapping_of_a_page_counts(acts in acts()) {
        let mut model: HashMap<Pid, Pages> = HashMap::new();
        for act in &acts {
            match act {
                Act::Map { pid, mapping } => {
                    let Backing::File { file, .. } = mapping.backing else { continue };
                    let pages = model.entry(*pid).or_default();
                    for page in mapping.start / PAGE..mapping.end / PAGE {
                        let place = usize::try_from(page).expect("few");
                        pages[place] = Some((file.inode, page - mapping.start / PAGE));
                    }
                }
                Act::Fork { pid, parent } => {
                    let pages = model.get(parent).copied().unwrap_or_default();
                    model.insert(*pid, pages);
                }
                Act::Exec { pid } => {
                    model.insert(*pid, Pages::default());
                }
                Act::Exit { .. } | Act::Lost { .. } | Act::Read { .. } => {}
            }
        }
        let spaces = after(acts);
        for pid in 1..5 {
            let maps = code(&spaces, pid);
            let pages: Vec<_> = (0..24).map(|page| found(&maps, page)).collect();
            let expected = model.get(&Pid(pid)).copied().unwrap_or_default();
            prop_assert_eq!(&pages[..], &expected[..]);
            for pair in maps.all().windows(2) {
                prop_assert!(pair[0].end <= pair[1].start);
            }
        }
        let codes: HashMap<_, _> = spaces
            .all
            .values()
            .map(|kept| (Arc::as_ptr(&kept.space.code), kept.space.code.counted()))
            .collect();
        for kept in spaces.all.values() {
            prop_assert_eq!(kept.space.code.bytes(), kept.space.code.counted());
        }
        prop_assert_eq!(spaces.held.bytes(), codes.values().sum::<usize>());
    }
}
