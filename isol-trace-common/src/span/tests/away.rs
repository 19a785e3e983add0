//! What is kept of an owner that is still in the kernel when its span ends.

use super::{
    super::{
        NOTE_FILTERED, NOTE_SECTION_CALL,
        away::{AWAY_UNTOLD, Away},
    },
    scenes::still,
};

#[test]
fn a_section_call_is_kept_also_where_its_return_is_untold() {
    for (notes, migrated, untold, forgettable) in [
        (0, 0, false, false),
        (NOTE_FILTERED, 0, true, true),
        (0, 1, true, true),
        (NOTE_SECTION_CALL, 0, false, false),
        (NOTE_SECTION_CALL | NOTE_FILTERED, 0, true, false),
        (NOTE_SECTION_CALL, 1, true, false),
    ] {
        let sim = still();
        sim.state.notes.set(notes);
        sim.state.migrated.set(migrated);
        sim.state.entry.args[1].set(5);
        let away = Away::left(&sim.state, 3);
        assert_eq!(away.notes & AWAY_UNTOLD != 0, untold, "{notes} {migrated}");
        assert_eq!(away.is_forgettable(), forgettable, "{notes} {migrated}");
        let expected = (notes & NOTE_SECTION_CALL != 0).then_some(5);
        assert_eq!(away.section_call(), expected, "{notes} {migrated}");
    }
}
