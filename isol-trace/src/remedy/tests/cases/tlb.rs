//! TLB shootdowns.

use super::{
    super::build::{call, calls, fault},
    Case, case,
};
use crate::event::model::Activity;

#[expect(clippy::too_many_lines, reason = "a list of cases")]
pub(super) fn cases() -> Vec<Case> {
    vec![
        case(
            "tlb-ksm",
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &[
                    "on_each_cpu_cond_mask",
                    "flush_tlb_mm_range",
                    "write_protect_page",
                    "try_to_merge_one_page",
                    "ksm_scan_thread",
                    "kthread",
                ],
            ),
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &[
                    "on_each_cpu_cond_mask",
                    "flush_tlb_mm_range",
                    "change_protection",
                ],
            ),
            Some("tlb-mprotect"),
        ),
        case(
            "tlb-thp-collapse",
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &[
                    "flush_tlb_mm_range",
                    "pmdp_collapse_flush",
                    "collapse_huge_page",
                    "khugepaged",
                    "kthread",
                ],
            ),
            calls()
                .did(Activity::Csd, "flush_tlb_func")
                .asked("flush_tlb_func", &["flush_tlb_mm_range", "do_madvise"]),
            Some("tlb-munmap"),
        ),
        case(
            "tlb-numa-balancing",
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &[
                    "tlb_finish_mmu",
                    "change_protection",
                    "change_prot_numa",
                    "task_numa_work",
                    "task_work_run",
                ],
            ),
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &[
                    "tlb_finish_mmu",
                    "change_protection",
                    "mprotect_fixup",
                    "do_mprotect_pkey",
                ],
            ),
            Some("tlb-mprotect"),
        ),
        // A program that ran here ends elsewhere: what it does is none of the task's doing.
        case(
            "tlb-other-process",
            call()
                .did(Activity::Csd, "flush_tlb_func")
                .did(Activity::TlbFlush, "remote wrong CPU")
                .asked(
                    "flush_tlb_func",
                    &["flush_tlb_mm_range", "tlb_finish_mmu", "exit_mmap"],
                ),
            call()
                .did(Activity::Csd, "flush_tlb_func")
                .did(Activity::TlbFlush, "remote shootdown")
                .asked(
                    "flush_tlb_func",
                    &["flush_tlb_mm_range", "tlb_finish_mmu", "exit_mmap"],
                ),
            Some("tlb-munmap"),
        ),
        case(
            "tlb-other-process",
            call()
                .did(Activity::Csd, "flush_tlb_func")
                .did(Activity::TlbFlush, "remote wrong CPU")
                .asked("flush_tlb_func", &["ptep_clear_flush", "do_wp_page"]),
            call()
                .did(Activity::Csd, "flush_tlb_func")
                .did(Activity::TlbFlush, "remote wrong CPU")
                .asked("flush_tlb_func", &["ptep_clear_flush", "break_ksm"]),
            Some("tlb-ksm"),
        ),
        case(
            "tlb-compaction",
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &[
                    "try_to_migrate",
                    "migrate_pages_batch",
                    "migrate_pages",
                    "compact_zone",
                    "kcompactd",
                ],
            ),
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &["try_to_unmap_flush", "shrink_folio_list", "kswapd"],
            ),
            Some("tlb-reclaim"),
        ),
        case(
            "tlb-reclaim",
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &[
                    "arch_tlbbatch_flush",
                    "try_to_unmap_flush",
                    "shrink_folio_list",
                    "kswapd",
                    "kthread",
                ],
            ),
            calls()
                .did(Activity::Csd, "flush_tlb_func")
                .asked("flush_tlb_func", &["arch_tlbbatch_flush"]),
            Some("tlb-shootdown"),
        ),
        case(
            "tlb-writeback",
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &[
                    "flush_tlb_mm_range",
                    "page_vma_mkclean_one",
                    "page_mkclean_one",
                    "rmap_walk_file",
                    "folio_mkclean",
                    "folio_clear_dirty_for_io",
                ],
            ),
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &["flush_tlb_mm_range", "ptep_clear_flush"],
            ),
            Some("tlb-cow"),
        ),
        case(
            "tlb-fork",
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &[
                    "flush_tlb_mm_range",
                    "dup_mm.constprop.0",
                    "copy_process",
                    "kernel_clone",
                    "__do_sys_clone",
                ],
            ),
            calls()
                .did(Activity::Csd, "do_kernel_range_flush")
                .asked("do_kernel_range_flush", &["vfree", "copy_process"]),
            Some("tlb-kernel"),
        ),
        case(
            "tlb-mprotect",
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &[
                    "tlb_finish_mmu",
                    "mprotect_fixup",
                    "do_mprotect_pkey",
                    "__x64_sys_mprotect",
                    "do_syscall_64",
                ],
            ),
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &["tlb_finish_mmu", "unmap_region", "__vm_munmap"],
            ),
            Some("tlb-munmap"),
        ),
        case(
            "tlb-munmap",
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &[
                    "tlb_finish_mmu",
                    "unmap_region",
                    "do_vmi_align_munmap",
                    "do_vmi_munmap",
                    "__vm_munmap",
                    "do_syscall_64",
                ],
            ),
            calls().did(Activity::Csd, "do_sync_core").asked(
                "do_sync_core",
                &["jump_label_update", "perf_mmap_close", "__vm_munmap"],
            ),
            Some("jump-label"),
        ),
        case(
            "tlb-cow",
            calls().did(Activity::Csd, "flush_tlb_func").asked(
                "flush_tlb_func",
                &[
                    "flush_tlb_mm_range",
                    "ptep_clear_flush",
                    "do_wp_page",
                    "handle_mm_fault",
                ],
            ),
            fault("write", true, 0x7f00_0000_1000),
            Some("copy-on-write"),
        ),
        case(
            "tlb-kernel",
            calls()
                .did(Activity::Csd, "do_kernel_range_flush")
                .asked("do_kernel_range_flush", &["__purge_vmap_area_lazy"]),
            calls()
                .did(Activity::Csd, "flush_tlb_func")
                .asked("flush_tlb_func", &["__purge_vmap_area_lazy"]),
            Some("tlb-shootdown"),
        ),
        case(
            "tlb-shootdown",
            calls()
                .did(Activity::Csd, "flush_tlb_func")
                .did(Activity::TlbFlush, "remote shootdown"),
            calls().did(Activity::TlbFlush, "local MM shootdown"),
            Some("cross-call"),
        ),
    ]
}
