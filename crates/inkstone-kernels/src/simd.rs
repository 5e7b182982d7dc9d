//! Loops compiled once for each instruction set.

/// Defines a function whose body is compiled for every instruction set that `pulp` knows; which one runs
/// is [`crate::isa::isa`]'s choice. (A closure given to `pulp` may stay a call to code for the oldest one.)
/// Inner loops are written as `for`, for the same reason. One type may be left open.
macro_rules! simd_fn {
    ($(#[$meta:meta])* $visible:vis fn $name:ident<$life:lifetime $(, $open:ident: $bound:ident)?>($($argument:ident: $type:ty),+ $(,)?) $body:block) => {
        simd_fn! { @ [$(#[$meta])* $visible] [] $name<$life $(, $open: $bound)?>($($argument: $type),+) -> () $body }
    };
    ($(#[$meta:meta])* $visible:vis fn $name:ident<$life:lifetime $(, $open:ident: $bound:ident)?>($($argument:ident: $type:ty),+ $(,)?) -> $out:ty $body:block) => {
        simd_fn! { @ [$(#[$meta])* $visible] [] $name<$life $(, $open: $bound)?>($($argument: $type),+) -> $out $body }
    };
    ($(#[$meta:meta])* $visible:vis unsafe fn $name:ident<$life:lifetime $(, $open:ident: $bound:ident)?>($($argument:ident: $type:ty),+ $(,)?) $body:block) => {
        simd_fn! { @ [$(#[$meta])* $visible] [unsafe] $name<$life $(, $open: $bound)?>($($argument: $type),+) -> () $body }
    };
    (@ [$($head:tt)*] [$($unsafe:tt)*] $name:ident<$life:lifetime $(, $open:ident: $bound:ident)?>($($argument:ident: $type:ty),+) -> $out:ty $body:block) => {
        $($head)* $($unsafe)* fn $name<$life $(, $open: $bound)?>($($argument: $type),+) -> $out {
            struct Task<$life $(, $open: $bound)?>($($type,)+ std::marker::PhantomData<&$life ()> $(, std::marker::PhantomData<$open>)?);
            impl<$life $(, $open: $bound)?> pulp::NullaryFnOnce for Task<$life $(, $open)?> {
                type Output = $out;
                #[inline(always)]
                fn call(self) -> $out {
                    let Self($($argument,)+ ..) = self;
                    $body
                }
            }
            crate::isa::arch().dispatch(Task($($argument,)+ std::marker::PhantomData $(, std::marker::PhantomData::<$open>)?))
        }
    };
}
pub(crate) use simd_fn;
