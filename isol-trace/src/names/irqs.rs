//! Names of device interrupts: what the drivers called themselves when they asked for them.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Names by interrupt number, read when first asked for.
///
/// `/sys/kernel/irq/N/actions` lists the names of the actions of one interrupt
/// (kernel/irq/irqdesc.c `actions_show`); a kernel without it (no
/// `CONFIG_SPARSE_IRQ`) still has `/proc/interrupts`.
#[derive(Debug)]
pub struct IrqNames {
    /// Where `sys` and `proc` are.
    root: PathBuf,
    /// What was found, also nothing: interrupts are few and keep their names.
    known: HashMap<u32, Option<Arc<str>>>,
}

impl IrqNames {
    /// The interrupts under `root`; nothing is read yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            known: HashMap::new(),
        }
    }

    /// The name of an interrupt: its action's, or several joined by commas where devices share it.
    pub fn name(&mut self, irq: u32) -> Option<Arc<str>> {
        if let Some(known) = self.known.get(&irq) {
            return known.clone();
        }
        let name = self.read(irq).map(Arc::from);
        self.known.insert(irq, name.clone());
        name
    }

    /// Reads a name.
    fn read(&self, irq: u32) -> Option<String> {
        let actions = self.root.join(format!("sys/kernel/irq/{irq}/actions"));
        if let Ok(text) = fs::read_to_string(actions) {
            let name = text.trim();
            return (!name.is_empty()).then(|| name.to_owned());
        }
        let table = fs::read_to_string(self.root.join("proc/interrupts")).ok()?;
        name_in_table(&table, irq).map(str::to_owned)
    }
}

/// Finds the actions of an interrupt in the text of `/proc/interrupts`.
///
/// kernel/irq/proc.c `show_interrupts`: number, one count a CPU, chip, hardware
/// number with its trigger padded with spaces, then two spaces and the actions.
fn name_in_table(table: &str, irq: u32) -> Option<&str> {
    let line = table.lines().find_map(|line| {
        let (number, rest) = line.split_once(':')?;
        (number.trim().parse() == Ok(irq)).then_some(rest)
    })?;
    let (_, actions) = line.rsplit_once("  ")?;
    // A line that ends in its padding has no action; one that has only counts ends in a number.
    let is_count = actions.trim().parse::<u64>().is_ok();
    (!actions.trim().is_empty() && !is_count).then(|| actions.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Real lines of a guest and of a PC.
    const TABLE: &str = "           CPU0       CPU1       \n \
 24:          1          0  IO-APIC   5-edge      ACPI:Ged\n \
 27:          0          0 PCI-MSIX-0000:00:05.0   0-edge    \n \
 36:          0      58817 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0\n \
 16:        120          0  IR-IO-APIC   16-fasteoi   ehci_hcd:usb1, i801_smbus\n\
NMI:          0          0   Non-maskable interrupts\n\
ERR:          0\n";

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (irq, actions) in [
            (24, "ACPI:Ged\n"),
            (27, "\n"),
            (16, "ehci_hcd:usb1,i801_smbus\n"),
        ] {
            let folder = root.path().join(format!("sys/kernel/irq/{irq}"));
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join("actions"), actions).expect("a file");
        }
        fs::create_dir(root.path().join("proc")).expect("a folder");
        fs::write(root.path().join("proc/interrupts"), TABLE).expect("a file");
        root
    }

    #[test]
    fn names_come_from_the_actions() {
        let root = tree();
        let mut names = IrqNames::new(root.path());
        assert_eq!(names.name(24).as_deref(), Some("ACPI:Ged"));
        assert_eq!(names.name(16).as_deref(), Some("ehci_hcd:usb1,i801_smbus"));
        assert_eq!(names.name(27), None, "an interrupt without an action");
    }

    #[test]
    fn without_its_folder_the_table_answers() {
        let root = tree();
        let mut names = IrqNames::new(root.path());
        assert_eq!(names.name(36).as_deref(), Some("virtio1-req.0"));
        assert_eq!(names.name(99), None);
    }

    #[test]
    fn a_name_is_read_once() {
        let root = tree();
        let mut names = IrqNames::new(root.path());
        assert_eq!(names.name(24).as_deref(), Some("ACPI:Ged"));
        fs::remove_dir_all(root.path().join("sys")).expect("a folder");
        fs::remove_dir_all(root.path().join("proc")).expect("a folder");
        assert_eq!(names.name(24).as_deref(), Some("ACPI:Ged"));
    }

    #[test]
    fn the_tables_last_column_is_the_name() {
        assert_eq!(name_in_table(TABLE, 24), Some("ACPI:Ged"));
        assert_eq!(
            name_in_table(TABLE, 16),
            Some("ehci_hcd:usb1, i801_smbus"),
            "shared, though its trigger fills its column"
        );
        assert_eq!(name_in_table(TABLE, 27), None, "no action");
        assert_eq!(name_in_table(" 5:   12   0\n", 5), None, "counts alone");
        assert_eq!(name_in_table("", 5), None);
    }
}
